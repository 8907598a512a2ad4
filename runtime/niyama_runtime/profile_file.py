"""Latency profiles by name or by file: wherever a profile is named, either will do.

A text with a slash, or that ends in `.yaml`, `.yml` or `.json`, is the path of a file; anything else is a name.
"""

from collections.abc import Mapping
from pathlib import Path

from niyama_core.manifest_reader import ManifestError
from niyama_core.profile_document import parse_profile
from niyama_core.profiles import PROFILES, LatencyProfile, names_file, profile_name_problem

from niyama_runtime.config_file import ConfigError, ConfigFile

__all__ = ["ProfileError", "find_profile"]


class ProfileError(ValueError):
    """There is no such profile, or its file is wrong; the message says what to do, all problems in one line."""


def find_profile(name: str, *, folder: Path | None = None) -> LatencyProfile:
    """Return the shipped profile of that name, or the one in the file of that name.

    Args:
        name: a name, or the path of a file.
        folder: what a relative path begins at; the current folder when left out.

    Raises:
        ProfileError: there is none, or the file is not valid.
    """
    if problem := profile_name_problem(name):
        raise ProfileError(problem)
    if not names_file(name):
        return PROFILES[name]
    try:
        return ConfigFile((folder or Path()) / name, _parse).value
    except ConfigError as error:
        raise ProfileError(str(error)) from error


def _parse(document: Mapping[str, object]) -> LatencyProfile:
    try:
        return parse_profile(document)
    except ManifestError as error:
        raise ValueError("; ".join(map(str, error.problems))) from error
