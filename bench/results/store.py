"""What has been computed: one JSON a table, written after every simulation, read again to go on where it was ended."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Found", "Store", "fingerprint"]


@dataclass(frozen=True, slots=True)
class Found:
    """A figure or several, and whether the policies and settings of today would give the same."""

    value: Mapping[str, Any]
    is_fresh: bool


class Store:
    """The JSON of one table.

    Args:
        path: of the file; what it holds is kept.
        versions: what figures are made with from here on; they are written beside each, and decide nothing.
    """

    def __init__(self, path: Path, versions: Mapping[str, str]) -> None:
        """Read what there is."""
        self.path = path
        self.versions = dict(versions)
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self._entries: dict[str, Any] = before.get("entries", {})
        self._made_with: dict[str, Any] = before.get("made_with", {})
        self._with = fingerprint(self.versions)

    def find(self, key: str, settings: str) -> Found | None:
        """Return what was computed for a key; it is fresh if its settings were these."""
        entry = self._entries.get(key)
        return None if entry is None else Found(entry["value"], entry["settings"] == settings)

    def fresh(self, key: str, settings: str) -> Mapping[str, Any] | None:
        """Return what needs no computing."""
        found = self.find(key, settings)
        return found.value if found is not None and found.is_fresh else None

    def put(self, key: str, settings: str, value: Mapping[str, Any]) -> None:
        """Keep what was computed, in place of what was there before, and write the file."""
        self._made_with[self._with] = self.versions
        self._entries[key] = {"settings": settings, "made_with": self._with, "value": value}
        self.write()

    def write(self) -> None:
        """Write the file; versions that nothing was made with are left out."""
        used = {entry["made_with"] for entry in self._entries.values()}
        document = {
            "made_with": {name: versions for name, versions in self._made_with.items() if name in used},
            "entries": dict(sorted(self._entries.items())),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def fingerprint(*settings: object) -> str:
    """Return what tells some settings from any others, whose texts name all that is in them."""
    return hashlib.sha256("\n".join(map(str, settings)).encode()).hexdigest()[:12]
