"""Latency profiles that were measured on this machine, by what was measured: model, device, parallelism, data type.

One file each, in the folder that `NIYAMA_PROFILES` names, or in the user's data folder. A replica that finds none
measures for a few seconds at its start and leaves what it found here; `niyama profile collect` puts a better one.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import structlog
from niyama_core.profile_document import profile_document
from niyama_core.profiles import LatencyProfile
from niyama_runtime.profile_file import ProfileError, find_profile

__all__ = ["ProfileKey", "profile_path", "profiles_folder", "store_profile", "stored_profile"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ProfileKey:
    """What an iteration's time depends on beside its shape.

    Attributes:
        model: name, or the last part of a path.
        device: as the driver calls it.
        num_devices: GPUs of one replica.
        dtype: of weights and activations.
    """

    model: str
    device: str
    num_devices: int
    dtype: str

    @property
    def name(self) -> str:
        """A name for files and profiles."""
        parts = (self.model.rstrip("/").rpartition("/")[2], f"{self.num_devices}x{self.device}", self.dtype)
        return "-".join(re.sub(r"[^a-z0-9.]+", "-", part.lower()).strip("-") for part in parts)

    @property
    def gpu(self) -> str:
        """The devices in words."""
        return f"{self.num_devices}x {self.device}"


def profiles_folder() -> Path:
    """Return the folder of the profiles, whether or not it is there."""
    named = os.environ.get("NIYAMA_PROFILES")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(named) if named else Path(data) / "niyama" / "profiles"


def profile_path(key: ProfileKey) -> Path:
    """Return where the profile of a key is stored, whether or not one is."""
    return profiles_folder() / f"{key.name}.json"


def stored_profile(key: ProfileKey) -> Path | None:
    """Return the file of a profile that was measured for a key; None where none was, or none that can be read."""
    path = profile_path(key)
    if not path.exists():
        return None
    try:
        find_profile(str(path))
    except ProfileError as error:
        _log.warning("stored_profile_passed_over", file=str(path), reason=str(error))
        return None
    return path


def store_profile(profile: LatencyProfile, path: Path) -> None:
    """Write a profile, in one step.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(profile_document(profile), indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)
