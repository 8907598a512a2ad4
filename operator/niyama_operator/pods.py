"""What matters of a pod, read out of what the API server returns; pure.

A pod says in many places why it does not serve: conditions, waiting states, the end of a former start. Here they are
brought together as one `Trouble`, so that checks and status need not know where each hides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from niyama_operator.manifests.blueprint import COMPONENT_LABEL, Role

__all__ = ["Pod", "Trouble", "TroubleKind", "read_pod"]

_IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_MOST_MESSAGE = 500


class TroubleKind(Enum):
    """Why a pod does not serve; the value is the reason in conditions and events."""

    IMAGE = "ImagePullFailed"
    GPUS = "InsufficientGpus"
    UNSCHEDULABLE = "Unschedulable"
    CONFIG = "ContainerConfigError"
    CRASH = "CrashLoop"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why one pod does not serve, in words."""

    kind: TroubleKind
    message: str


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod.

    Attributes:
        name: its name.
        uid: its uid.
        role: what it does.
        address: its address; empty before it has one.
        ready: whether its Services send to it.
        ending: whether it has been told to end.
        pending: whether its container has not been created yet.
        age: seconds since it was made.
        template_hash: of the template from which it was made.
        deletion_cost: what it says to a scale-down.
        trouble: why it does not serve, as far as the pod itself says.
    """

    name: str
    uid: str
    role: Role
    address: str
    ready: bool
    ending: bool
    pending: bool
    age: float
    template_hash: str
    deletion_cost: str
    trouble: Trouble | None


def read_pod(document: Mapping[str, Any], now: float) -> Pod | None:
    """Return a pod; None when it is of no role of ours or has ended for good. `now` is in seconds since the epoch."""
    metadata, status = document["metadata"], document.get("status", {})
    labels = metadata.get("labels", {})
    component = labels.get(COMPONENT_LABEL)
    if component not in {role.value for role in Role} or status.get("phase") in ("Succeeded", "Failed"):
        return None
    containers = status.get("containerStatuses") or []
    conditions = {item["type"]: item for item in status.get("conditions") or []}
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        role=Role(component),
        address=status.get("podIP", ""),
        ready=conditions.get("Ready", {}).get("status") == "True",
        ending="deletionTimestamp" in metadata,
        pending=status.get("phase") == "Pending",
        age=now - _instant(metadata["creationTimestamp"]),
        template_hash=labels.get("pod-template-hash", ""),
        deletion_cost=metadata.get("annotations", {}).get("controller.kubernetes.io/pod-deletion-cost", ""),
        trouble=_scheduling_trouble(conditions) or _container_trouble(containers),
    )


def _instant(text: str) -> float:
    """Return the seconds since the epoch of one of Kubernetes' timestamps."""
    return datetime.fromisoformat(text).timestamp()


def _scheduling_trouble(conditions: Mapping[str, Mapping[str, Any]]) -> Trouble | None:
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return None
    message = _short(scheduled.get("message", "no node takes it"))
    return Trouble(TroubleKind.GPUS if "nvidia.com/gpu" in message else TroubleKind.UNSCHEDULABLE, message)


def _container_trouble(containers: Sequence[Mapping[str, Any]]) -> Trouble | None:
    for container in containers:
        waiting = container.get("state", {}).get("waiting", {})
        reason = waiting.get("reason", "")
        message = _short(waiting.get("message", ""))
        if reason in _IMAGE_REASONS:
            return Trouble(TroubleKind.IMAGE, f"{container.get('image', '')}: {message or reason}")
        if reason in _CONFIG_REASONS:
            return Trouble(TroubleKind.CONFIG, message or reason)
        ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
        if ended and not container.get("ready") and (reason == "CrashLoopBackOff" or ended.get("exitCode") != 0):
            return Trouble(TroubleKind.CRASH, _last_words(ended, container.get("restartCount", 0)))
    return None


def _last_words(ended: Mapping[str, Any], num_restarts: int) -> str:
    """Return how a container ended, with the last line that it wrote."""
    lines = [line.strip() for line in str(ended.get("message", "")).splitlines() if line.strip()]
    cause = lines[-1] if lines else ended.get("reason", "Error")
    return _short(f"exit status {ended.get('exitCode')} after {num_restarts} restarts: {cause}")


def _short(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _MOST_MESSAGE else f"{line[: _MOST_MESSAGE - 3]}..."
