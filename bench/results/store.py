"""What has been computed: one JSON a table, written after every simulation, read again to go on where it was ended."""

import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Found", "Store", "code_of", "fingerprint", "source_digest"]

# What decides where a request goes does not matter where there is one replica.
_ACROSS_REPLICAS = ("affinity", "load", "placement", "router")
_LOADED = """
import sys, niyama_sim.cluster
for name, module in sys.modules.items():
    if name.startswith(("niyama_core", "niyama_sim")):
        print(module.__file__)
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A figure or several, and whether the sources and settings of today would give the same."""

    value: Mapping[str, Any]
    is_fresh: bool


class Store:
    """The JSON of one table.

    Args:
        path: of the file; what it holds is kept, and is told to be old where the facts were others.
        facts: what every figure of the table depends on.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Read what there is."""
        self.path = path
        self.facts = dict(facts)
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self._facts: dict[str, Any] = before.get("facts", {})
        self._entries: dict[str, Any] = before.get("entries", {})
        self._digest = fingerprint(self.facts)
        self._facts[self._digest] = self.facts

    def find(self, key: str, settings: str) -> Found | None:
        """Return what was computed for a key; it is fresh if facts and settings were those of today."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        return Found(entry["value"], (entry["facts"], entry["settings"]) == (self._digest, settings))

    def fresh(self, key: str, settings: str) -> Mapping[str, Any] | None:
        """Return what needs no computing."""
        found = self.find(key, settings)
        return found.value if found is not None and found.is_fresh else None

    def put(self, key: str, settings: str, value: Mapping[str, Any]) -> None:
        """Keep what was computed, in place of what was there before, and write the file."""
        self._entries[key] = {"facts": self._digest, "settings": settings, "value": value}
        self.write()

    def write(self) -> None:
        """Write the file; facts that nothing depends on any more are left out."""
        used = {entry["facts"] for entry in self._entries.values()} | {self._digest}
        document = {
            "facts": {digest: facts for digest, facts in self._facts.items() if digest in used},
            "entries": dict(sorted(self._entries.items())),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def fingerprint(*settings: object) -> str:
    """Return what tells some settings from any others, whose texts name all that is in them."""
    return hashlib.sha256("\n".join(map(str, settings)).encode()).hexdigest()[:12]


@cache
def source_digest(*, one_replica: bool) -> str:
    """Return what tells the code that a simulation runs from any other: all that it loads of core and simulator.

    Comments, docstrings and layout do not count. With `one_replica` neither does what chooses among several.
    """
    asked = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    paths = sorted(map(Path, asked.stdout.splitlines()), key=lambda path: path.parts[-2:])
    told = hashlib.sha256()
    for path in paths:
        if not (one_replica and path.stem.startswith(_ACROSS_REPLICAS)):
            told.update(code_of(path.read_text(encoding="utf-8")).encode())
    return told.hexdigest()[:12]


def code_of(source: str) -> str:
    """Return what a module does, without what it says about it."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [one for one in node.body if not _is_text(one)]
    return ast.dump(tree)


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
