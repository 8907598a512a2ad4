"""helm as tests speak it: the charts as a person installs, upgrades and removes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e.programs import run

__all__ = ["Helm"]


@dataclass(frozen=True, slots=True)
class Helm:
    """The program, and whose cluster it talks to."""

    kubeconfig: Path
    program: Path = Path("helm")

    def __call__(self, *arguments: str | Path, stdin: str | None = None, seconds: float = 180) -> str:
        """Run `helm ARGUMENTS` and return what it prints; raises `ProgramError`."""
        return run(self.program, f"--kubeconfig={self.kubeconfig}", *arguments, stdin=stdin, seconds=seconds)

    def install(self, release: str, chart: Path, *, namespace: str, values: Mapping[str, Any] | None = None) -> str:
        """Install a chart, or upgrade its release, and wait until what it made is ready."""
        where = ("--create-namespace", f"--namespace={namespace}")
        how = ("--install", "--wait", "--timeout=120s", "--values=-")
        return self("upgrade", release, chart, *where, *how, stdin=yaml.safe_dump(dict(values or {})))

    def uninstall(self, release: str, *, namespace: str) -> str:
        """Remove a release and wait until what it made is gone."""
        return self("uninstall", release, f"--namespace={namespace}", "--wait")
