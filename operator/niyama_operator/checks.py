"""What is wrong with a cluster: small pure checks over an observation, each with the words that a person reads.

The first finding is the one that the resource's `reason` and `problem` tell, so the order of the checks is the order
in which somebody should mend things.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from niyama_operator.manifests.blueprint import Blueprint, Role
from niyama_operator.observation import Observation
from niyama_operator.pods import Pod, TroubleKind

__all__ = ["Finding", "FindingReason", "check_all"]


class FindingReason(Enum):
    """What is wrong, as conditions and events say it."""

    INVALID_SPEC = "InvalidSpec"
    APPLY_FAILED = "ApplyFailed"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    INSUFFICIENT_GPUS = "InsufficientGpus"
    UNSCHEDULABLE = "Unschedulable"
    CONTAINER_CONFIG_ERROR = "ContainerConfigError"
    CRASH_LOOP = "CrashLoop"
    MOUNT_FAILED = "MountFailed"
    PODS_REFUSED = "PodsRefused"
    REDIS_UNAVAILABLE = "RedisUnavailable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    reason: FindingReason
    message: str


Check = Callable[[Blueprint, Observation], Finding | None]


def check_all(blueprint: Blueprint, observation: Observation) -> list[Finding]:
    """Return everything that is wrong, the first to be mended first."""
    findings = (check(blueprint, observation) for check in _CHECKS)
    return [finding for finding in findings if finding is not None]


def _pods_refused(blueprint: Blueprint, observation: Observation) -> Finding | None:
    """Look for what keeps the Deployment's controller from making pods: a quota, a policy, a missing object."""
    for role in Role:
        deployment = observation.find("Deployment", blueprint.name(role))
        for condition in (deployment or {}).get("status", {}).get("conditions", ()):
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                return Finding(FindingReason.PODS_REFUSED, f"{role.value}: {condition.get('message', '')}")
    return None


def _pods_in_trouble(_: Blueprint, observation: Observation) -> Finding | None:
    """Look for pods that say why they do not serve; the first is told, and how many fare alike."""
    troubled = [pod for pod in observation.pods if pod.trouble is not None and not pod.ending]
    if not troubled:
        return None
    order = list(TroubleKind)
    worst = min((pod.trouble.kind for pod in troubled if pod.trouble), key=order.index)
    alike = [pod for pod in troubled if pod.trouble is not None and pod.trouble.kind is worst]
    first = alike[0].trouble
    assert first is not None, "the pods have been chosen for their trouble"
    return Finding(FindingReason(worst.value), f"{_names(alike)}: {first.message}")


def _volumes_missing(_: Blueprint, observation: Observation) -> Finding | None:
    """Look for pods that wait for a volume: a Secret, a claim or a ConfigMap that is not there."""
    if not observation.mount_problems:
        return None
    name, message = next(iter(observation.mount_problems.items()))
    return Finding(FindingReason.MOUNT_FAILED, f"{name}: {message}")


def _redis_away(_: Blueprint, observation: Observation) -> Finding | None:
    """Look for routers that do not reach Redis: the cluster serves on, with older knowledge of loads."""
    view = observation.view
    if view is None or not view.num_without_board:
        return None
    message = f"{view.num_without_board} of {view.num_asked} routers do not reach Redis; requests are served on"
    return Finding(FindingReason.REDIS_UNAVAILABLE, f"{message}: see the routers' logs, and spec.redis")


_CHECKS: Sequence[Check] = (_pods_refused, _pods_in_trouble, _volumes_missing, _redis_away)


def _names(pods: Sequence[Pod]) -> str:
    return pods[0].name if len(pods) == 1 else f"{pods[0].name} and {len(pods) - 1} more"
