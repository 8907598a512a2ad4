"""Renders a chart with the real helm, as values of Python; what is compared is YAML, not one helm's way of printing it.

The binary is what HELM names, else the one on the PATH.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "charts"
KUBERNETES = "1.36.0"
NAMESPACE = "niyama-system"

Manifest = dict[str, Any]
Values = Mapping[str, Any]


def run(*arguments: str, values: Values | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm, with values if any; what it says of itself is its result's to look at."""
    binary = os.environ.get("HELM") or shutil.which("helm")
    if binary is None:
        pytest.fail("helm is neither what HELM names nor on the PATH", pytrace=False)
    command = [binary, *arguments]
    if values is not None:
        command += ["--values", "-"]
    text = yaml.safe_dump(dict(values or {}))
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


def template(values: Values | None = None, *, chart: str = "niyama") -> subprocess.CompletedProcess[str]:
    """Render a chart as release `niyama` in the namespace `niyama-system`."""
    where = ("--namespace", NAMESPACE, "--kube-version", KUBERNETES)
    return run("template", "niyama", str(CHARTS / chart), *where, values=values or {})


def render(values: Values | None = None, *, chart: str = "niyama") -> list[Manifest]:
    """Return what the chart makes of the values, in the order of kind, namespace and name."""
    done = template(values, chart=chart)
    assert done.returncode == 0, done.stderr
    return sorted((found for found in yaml.safe_load_all(done.stdout) if found), key=identity)


def notes(values: Values, folder: Path) -> str:
    """Return what `helm install` would tell a person; that asks a cluster first, so a copy renders it as a manifest."""
    copy = folder / "niyama"
    shutil.copytree(CHARTS / "niyama", copy)
    (copy / "templates" / "NOTES.txt").rename(copy / "NOTES.txt")
    (copy / "templates" / "notes.yaml").write_text(
        'kind: Notes\nmetadata: {name: notes}\ntext: {{ tpl (.Files.Get "NOTES.txt") . | toJson }}\n'
    )
    text: str = only(render(values, chart=str(copy)), "Notes")["text"]
    return text


def refusal(values: Values) -> str:
    """Return what helm says against the values."""
    done = template(values)
    assert done.returncode != 0, f"helm takes {values}"
    return done.stderr


def identity(manifest: Manifest) -> tuple[str, str, str]:
    """Return kind, namespace (empty for cluster scope) and name."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def of_kind(manifests: Iterable[Manifest], kind: str) -> list[Manifest]:
    """Return the manifests of a kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def only(manifests: Iterable[Manifest], kind: str) -> Manifest:
    """Return the one manifest of a kind."""
    found = of_kind(manifests, kind)
    assert len(found) == 1, [identity(manifest) for manifest in found]
    return found[0]


def kinds(manifests: Iterable[Manifest]) -> set[str]:
    """Return the kinds that are there."""
    return {manifest["kind"] for manifest in manifests}
