"""How replicas are replaced, and which of them go first when there are to be fewer; pure.

With a spare GPU the new replica is ready before an old one goes. Without one it would wait for ever, so an old one is
drained first. Whether there is a spare GPU nobody knows beforehand: the new pod's own fate tells. Once a rollout has
changed over it stays so until it is done, or it would try a spare GPU again with every replica.
"""

from collections.abc import Mapping

from niyama_core.service_sections import RolloutStrategy

from niyama_operator.manifests.blueprint import Blueprint, Manifest, Role
from niyama_operator.observation import Observation
from niyama_operator.pods import Pod, TroubleKind

__all__ = ["REPLACE", "SURGE", "deletion_costs", "is_rolling", "replica_strategy"]

SURGE: Mapping[str, object] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
REPLACE: Mapping[str, object] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}

_NO_ROOM = (TroubleKind.GPUS, TroubleKind.UNSCHEDULABLE)


def replica_strategy(blueprint: Blueprint, observation: Observation) -> Manifest:
    """Return the strategy that the replicas' Deployment should have at this moment."""
    match blueprint.spec.rollout.strategy:
        case RolloutStrategy.SURGE:
            return dict(SURGE)
        case RolloutStrategy.REPLACE:
            return dict(REPLACE)
        case RolloutStrategy.AUTO:
            return dict(REPLACE if _has_no_room(blueprint, observation) else SURGE)


def _has_no_room(blueprint: Blueprint, observation: Observation) -> bool:
    live = observation.find("Deployment", blueprint.name(Role.REPLICA))
    if live is None or not is_rolling(live, blueprint.spec.replicas):
        return False
    if live["spec"].get("strategy") == REPLACE:
        return True
    pods = observation.of_role(Role.REPLICA)
    waits = any(pod.trouble is not None and pod.trouble.kind in _NO_ROOM for pod in pods)
    # One more than there are to be: it is the rollout's new pod that waits, and not a scale-up's.
    return waits and len(pods) > blueprint.spec.replicas and len({pod.template_hash for pod in pods}) > 1


def is_rolling(deployment: Manifest, num_wanted: int) -> bool:
    """Return whether pods of a former template are still there, or the change has not been taken up yet."""
    status = deployment.get("status", {})
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return True
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    return bool(updated < min(num_wanted, total) or total > updated)


def deletion_costs(observation: Observation) -> Mapping[str, str]:
    """Return the pods whose deletion cost should change, so that a scale-down takes the least loaded first.

    The cost is the number of open requests; of a pod that serves nobody it is the lowest, so that it goes before all.
    """
    num_live = observation.view.num_live if observation.view is not None else {}
    costs = {pod.name: _cost(pod, num_live) for pod in observation.of_role(Role.REPLICA)}
    current = {pod.name: pod.deletion_cost for pod in observation.pods}
    return {name: cost for name, cost in costs.items() if current[name] != cost}


def _cost(pod: Pod, num_live: Mapping[str, int]) -> str:
    return str(num_live.get(pod.name, 0)) if pod.ready else "-1"
