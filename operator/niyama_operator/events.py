"""Kubernetes Events about a cluster: told when what a person should know changes, and not otherwise."""

import secrets
from collections.abc import Mapping
from typing import Any

from niyama_core.cluster_spec import API_VERSION, KIND

from niyama_operator.manifests.blueprint import Manifest

__all__ = ["event", "news"]

_TOLD = ("Ready", "Degraded", "Progressing")


def news(status: Mapping[str, Any], former: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the conditions whose status or reason is another than before, of those that are told; each reason once."""
    before = {item["type"]: (item["status"], item["reason"]) for item in former.get("conditions", ())}
    changed = [
        item
        for item in status.get("conditions", ())
        if item["type"] in _TOLD and before.get(item["type"]) != (item["status"], item["reason"])
    ]
    # One word is told once, by the condition that has it first.
    return list({item["reason"]: item for item in reversed(changed)}.values())[::-1]


def event(resource: Mapping[str, Any], condition: Mapping[str, Any], *, now: str) -> Manifest:
    """Return the Event that tells of a condition."""
    metadata = resource["metadata"]
    is_bad = (condition["type"] == "Degraded") == (condition["status"] == "True") and condition["type"] != "Progressing"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(8)}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": "Warning" if is_bad else "Normal",
        "reason": condition["reason"],
        "message": condition["message"] or f"{condition['type']} is {condition['status']}",
        "source": {"component": "niyama-operator"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
