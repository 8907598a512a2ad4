"""Manifests in files: YAML read document by document, what is wrong told with its place.

The only reader of YAML on the command line. A broken document is a problem with its line and column, like any other
problem with its field; what it means is the core's to judge.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from niyama_core.cluster_spec import ClusterSpec, parse_cluster
from niyama_core.manifest_reader import ManifestError, Problem
from niyama_core.profiles import names_file
from niyama_runtime.profile_file import ProfileError, find_profile

from niyama_cli.errors import CommandError

__all__ = ["STDIN", "ManifestDocument", "read_cluster", "read_documents"]

STDIN = Path("-")
"""Stands for standard input where a file is asked for."""

_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ManifestDocument:
    """One YAML document and what it turned out to be.

    Attributes:
        place: the file, and which document of it where it has several.
        cluster: what it declares; None when something is wrong.
        problems: all that is wrong.
    """

    place: str
    cluster: ClusterSpec | None
    problems: tuple[Problem, ...] = ()


def read_documents(path: Path) -> list[ManifestDocument]:
    """Return every document of a file, parsed or with its problems; one that is broken YAML ends the file.

    Raises:
        CommandError: the file cannot be read.
    """
    name = "standard input" if path == STDIN else str(path)
    folder = Path() if path == STDIN else path.parent
    parsed = [_parse(document, folder) for document in _documents(_read(path))]
    if not parsed:
        parsed = [(None, (Problem("document", "is empty: write a NiyamaCluster manifest"),))]
    several = len(parsed) > 1
    return [
        ManifestDocument(f"{name}, document {number}" if several else name, cluster, problems)
        for number, (cluster, problems) in enumerate(parsed, start=1)
    ]


def read_cluster(path: Path) -> ClusterSpec:
    """Return the one cluster that a file declares.

    Raises:
        CommandError: the file cannot be read, declares several clusters, or something is wrong with it; every problem
            is a line of the message.
    """
    documents = read_documents(path)
    problems = [f"{document.place}: {problem}" for document in documents for problem in document.problems]
    if problems:
        raise CommandError("\n".join(problems))
    if len(documents) > 1:
        raise CommandError(f"{path}: declares {len(documents)} clusters: give a file with one")
    cluster = documents[0].cluster
    assert cluster is not None, "a document without problems has a cluster"
    return cluster


def _parse(document: object, folder: Path) -> tuple[ClusterSpec | None, tuple[Problem, ...]]:
    if isinstance(document, Problem):
        return None, (document,)
    try:
        return _with_files(parse_cluster(document), folder), ()
    except ManifestError as error:
        return None, error.problems


def _with_files(cluster: ClusterSpec, folder: Path) -> ClusterSpec:
    """Return the cluster with the paths of its files, if it names any, as every process can follow them.

    Raises:
        ManifestError: the file holds no profile.
    """
    if (folder / cluster.model.name).is_dir():
        path = str((folder / cluster.model.name).absolute())
        cluster = replace(cluster, model=replace(cluster.model, name=path))
    if not names_file(cluster.engine.profile):
        return cluster
    path = str((folder / cluster.engine.profile).absolute())
    try:
        find_profile(path)
    except ProfileError as error:
        raise ManifestError([Problem("spec.engine.profile", str(error))]) from error
    return replace(cluster, engine=replace(cluster.engine, profile=path))


def _documents(text: str) -> Iterator[object]:
    """Yield what each document holds, or a problem in place of one that is no YAML; empty ones are passed over."""
    try:
        for document in yaml.safe_load_all(text):
            if document is not None:
                yield document
    except yaml.MarkedYAMLError as error:
        yield _broken(error)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        yield Problem("document", f"is no YAML: {' '.join(str(error).split()) or 'it is nested too deeply'}")


def _broken(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "document"
    said = ", ".join(part for part in (error.context, error.problem) if part)
    return Problem(where, f"is no YAML: {said}")


def _read(path: Path) -> str:
    try:
        content = sys.stdin.buffer.read(_MAX_BYTES + 1) if path == STDIN else path.read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > _MAX_BYTES:
        raise CommandError(f"{path}: larger than {_MAX_BYTES // 1024 // 1024} MiB: no manifest is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: is no UTF-8 text: {error.reason} at byte {error.start}") from error
