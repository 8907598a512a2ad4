"""kubectl as tests speak it: apply what is written here, read what the cluster answers.

The real program and no client library: what tests do is what a person would type, and its
messages are those that a person would see.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e.programs import run

__all__ = ["Kubectl", "Manifest"]

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The program, whose cluster it talks to, and in which namespace."""

    kubeconfig: Path
    program: Path = Path("kubectl")
    namespace: str = "default"

    def within(self, namespace: str) -> "Kubectl":
        """Return the same for another namespace."""
        return Kubectl(self.kubeconfig, self.program, namespace)

    def __call__(self, *arguments: str | Path, stdin: str | None = None, seconds: float = 60) -> str:
        """Run `kubectl ARGUMENTS` and return what it prints; raises `ProgramError`."""
        settings = (f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}")
        return run(self.program, *settings, *arguments, stdin=stdin, seconds=seconds)

    def get(self, *arguments: str) -> Any:  # noqa: ANN401 - a document of the API, of whatever kind
        """Return an object, or the list of objects that a selector or a kind names."""
        return json.loads(self("get", *arguments, "--output=json"))

    def items(self, *arguments: str) -> Sequence[Any]:
        """Return the objects of a list."""
        found: Sequence[Any] = self.get(*arguments)["items"]
        return found

    def apply(self, *manifests: Manifest | str | Path) -> str:
        """Apply documents, given as values, as text or as files, and return what kubectl says."""
        return self("apply", "--filename=-", stdin="\n---\n".join(map(_text, manifests)))

    def wait(self, target: str, *, until: str, within: float) -> None:
        """Wait for `condition=Ready`, `delete` or a `jsonpath=...` of `pod/name` and the like."""
        self("wait", target, f"--for={until}", f"--timeout={within:g}s", seconds=within + 10)

    def logs(self, target: str, *arguments: str) -> str:
        """Return what a pod's containers have printed."""
        return self("logs", target, "--all-containers", *arguments)


def _text(manifest: Manifest | str | Path) -> str:
    match manifest:
        case str():
            return manifest
        case Path():
            return manifest.read_text()
        case _:
            return yaml.safe_dump(dict(manifest), sort_keys=False)
