"""Compares text with a file under golden/, and writes the file instead when NIYAMA_UPDATE_GOLDEN=1 asks for it."""

import os
from collections.abc import Iterable
from pathlib import Path

import yaml

from tests.charts.helm import Manifest, identity

FOLDER = Path(__file__).parent / "golden"


def compare(name: str, text: str) -> None:
    """Fail when the text is not that of the file.

    NIYAMA_UPDATE_GOLDEN=1 makes it so; look at the difference in git before you commit it.
    """
    path = FOLDER / name
    if os.environ.get("NIYAMA_UPDATE_GOLDEN") == "1":
        path.write_text(text)
    assert text == path.read_text(), f"{name} differs; NIYAMA_UPDATE_GOLDEN=1 writes it again"


def as_yaml(manifests: Iterable[Manifest]) -> str:
    """Return the manifests as one file, in an order of their own, so that it does not hang on the version of helm."""
    return yaml.dump_all(sorted(manifests, key=identity), Dumper=_Dumper, width=120, allow_unicode=True)


def as_rights(manifests: Iterable[Manifest]) -> str:
    """Return what the roles allow: each role, and in it a line for each resource with its verbs."""
    lines = []
    for role in sorted(manifests, key=identity):
        if role["kind"] not in {"Role", "ClusterRole"}:
            continue
        kind, namespace, name = identity(role)
        lines += [f"{kind} {name}" + (f" in {namespace}" if namespace else ""), *_rights(role), ""]
    return "\n".join(lines)


def _rights(role: Manifest) -> list[str]:
    lines = []
    for rule in role["rules"]:
        names = f" [{' '.join(rule['resourceNames'])}]" if "resourceNames" in rule else ""
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                what = f"{group}/{resource}" if group else resource
                lines.append(f"  {what}{names}: {' '.join(rule['verbs'])}")
    return sorted(lines)


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block, so that a configuration file reads like one."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)
