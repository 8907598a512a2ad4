"""The status that a person and `kubectl wait` read: conditions that say what is, and the counts behind them; pure.

`Ready` is the summary: everything that was declared serves. `Degraded` says what is wrong, `Progressing` that pods are
on their way, `SLOAttained` whether promises have been kept lately.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from niyama_core.slo import Importance

from niyama_operator.checks import Finding
from niyama_operator.manifests.blueprint import GRPC_PORT, Blueprint, Manifest, Role, selector_text
from niyama_operator.observation import ClassFigures, Observation
from niyama_operator.rollout import REPLACE, is_rolling

__all__ = ["Condition", "broken_status", "is_worth_writing", "status_document", "with_times"]

_SLO_ATTAINED = "SLOAttained"
_ENOUGH = 0.99
_FIGURES_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; `status` is True, False or Unknown."""

    type: str
    status: str
    reason: str
    message: str = ""


def status_document(
    blueprint: Blueprint,
    observation: Observation,
    *,
    findings: Sequence[Finding],
    generation: int,
    former: Mapping[str, Any] = MappingProxyType({}),
) -> Manifest:
    """Return the status of a cluster, its conditions without times.

    What routers say stays as in the `former` status until they have been asked: an operator that starts anew has not.
    """
    replicas = observation.of_role(Role.REPLICA)
    conditions = [
        _ready(blueprint, observation, findings=findings),
        _progressing(blueprint, observation),
        _degraded(findings),
    ]
    status: Manifest = {
        "observedGeneration": generation,
        "replicas": len(replicas),
        "readyReplicas": observation.num_ready(Role.REPLICA),
        "routers": len(observation.of_role(Role.ROUTER)),
        "readyRouters": observation.num_ready(Role.ROUTER),
        "selector": selector_text(blueprint.selector(Role.REPLICA)),
        "endpoint": f"{blueprint.host(blueprint.client_service)}:{GRPC_PORT}",
        "engine": blueprint.spec.engine.type.value if blueprint.spec.engine.type else "",
        "conditions": [
            *[_document(condition, generation) for condition in conditions],
            _attained_document(blueprint, observation, generation=generation, former=former),
        ],
    }
    if findings:
        status["problem"] = findings[0].message
    if observation.view is None and "classes" in former:
        status["classes"] = former["classes"]
    elif observation.view is not None and observation.view.num_asked:
        status["classes"] = [_class_document(figures) for figures in observation.view.classes]
    return status


def broken_status(finding: Finding, generation: int, *, former: Mapping[str, Any]) -> Manifest:
    """Return the status of a cluster that cannot be built; what was known of it stays, for it may serve on."""
    conditions = [
        Condition("Ready", "False", finding.reason.value, finding.message),
        Condition("Progressing", "False", finding.reason.value),
        Condition("Degraded", "True", finding.reason.value, finding.message),
    ]
    kept = {key: value for key, value in former.items() if key not in ("conditions", "problem")}
    others = [item for item in former.get("conditions", ()) if item["type"] not in {c.type for c in conditions}]
    documents = [_document(condition, generation) for condition in conditions]
    return {
        **kept,
        "observedGeneration": generation,
        "problem": finding.message,
        "conditions": documents + [_without_time(item) for item in others],
    }


def with_times(status: Manifest, former: Mapping[str, Any], *, now: str) -> Manifest:
    """Return a status whose conditions say since when they are so: only a change of `status` moves the time."""
    before = {item["type"]: item for item in former.get("conditions", ())}
    conditions = []
    for item in status["conditions"]:
        old = before.get(item["type"])
        since = old["lastTransitionTime"] if old is not None and old["status"] == item["status"] else now
        conditions.append({**item, "lastTransitionTime": since})
    return {**status, "conditions": conditions}


def is_worth_writing(status: Manifest, former: Mapping[str, Any], *, seconds_since_last: float) -> bool:
    """Return whether a status should be written: on a change, and figures of classes at most once a minute."""
    if status == former:
        return False
    return _without_figures(status) != _without_figures(former) or seconds_since_last >= _FIGURES_SECONDS


def _without_figures(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a status with the names of its classes only."""
    return {**status, "classes": [item["name"] for item in status.get("classes", ())]}


def _ready(blueprint: Blueprint, observation: Observation, *, findings: Sequence[Finding]) -> Condition:
    wanted, ready = blueprint.spec.replicas, observation.num_ready(Role.REPLICA)
    routers = observation.num_ready(Role.ROUTER)
    if wanted == 0:
        return Condition("Ready", "False", "ScaledToZero", "spec.replicas is 0: requests are refused")
    if ready >= wanted and routers >= blueprint.spec.router.replicas:
        return Condition("Ready", "True", "AllReady", f"{ready} of {wanted} replicas and {routers} routers serve")
    message = f"{ready} of {wanted} replicas and {routers} of {blueprint.spec.router.replicas} routers serve"
    if findings:
        return Condition("Ready", "False", findings[0].reason.value, f"{message}; {findings[0].message}")
    reason = "ReplicasNotReady" if ready < wanted else "RoutersNotReady"
    return Condition("Ready", "False", reason, message)


def _progressing(blueprint: Blueprint, observation: Observation) -> Condition:
    if blueprint.spec.suspend:
        return Condition("Progressing", "False", "Suspended", "spec.suspend is true: nothing is changed or repaired")
    live = observation.find("Deployment", blueprint.name(Role.REPLICA))
    if live is None:
        return Condition("Progressing", "True", "Creating")
    if is_rolling(live, blueprint.spec.replicas):
        return _rolling(blueprint, live)
    if len(observation.of_role(Role.REPLICA)) != blueprint.spec.replicas:
        return Condition("Progressing", "True", "Scaling", f"towards {blueprint.spec.replicas} replicas")
    if observation.num_ready(Role.REPLICA) < blueprint.spec.replicas:
        return Condition("Progressing", "True", "Starting", "replicas load their model or wait for their node")
    return Condition("Progressing", "False", "Settled")


def _rolling(blueprint: Blueprint, live: Manifest) -> Condition:
    if live["spec"].get("strategy") != REPLACE:
        return Condition("Progressing", "True", "RollingOut", "each new replica is ready before an old one goes")
    message = "there is no room for one more replica: each old one is drained before its successor starts"
    if blueprint.spec.replicas == 1:
        message += "; with one replica nobody serves in between: requests wait for seconds and are then refused"
    return Condition("Progressing", "True", "ReplacingInPlace", message)


def _degraded(findings: Sequence[Finding]) -> Condition:
    if not findings:
        return Condition("Degraded", "False", "NoProblem")
    return Condition("Degraded", "True", findings[0].reason.value, "; ".join(finding.message for finding in findings))


def _slo_attained(blueprint: Blueprint, observation: Observation) -> Condition:
    view = observation.view
    if view is None or not view.num_asked:
        return Condition(_SLO_ATTAINED, "Unknown", "NoRouterAsked")
    by_name = blueprint.spec.qos_classes.by_name
    counted = [
        figures
        for figures in view.classes
        if figures.num_requests
        and figures.qos_class in by_name
        and by_name[figures.qos_class].importance is Importance.HIGH
    ]
    if not counted:
        return Condition(_SLO_ATTAINED, "Unknown", "NoTraffic")
    missed = [figures.qos_class for figures in counted if figures.attainment < _ENOUGH]
    if missed:
        return Condition(_SLO_ATTAINED, "False", "PromisesMissed", f"below {_ENOUGH:.0%}: {', '.join(missed)}")
    return Condition(_SLO_ATTAINED, "True", "PromisesKept")


def _attained_document(
    blueprint: Blueprint, observation: Observation, *, generation: int, former: Mapping[str, Any]
) -> Manifest:
    """Return whether promises are kept; as it was said before while no router has been asked."""
    if observation.view is None:
        for item in former.get("conditions", ()):
            if item["type"] == _SLO_ATTAINED:
                return _without_time(item)
    return _document(_slo_attained(blueprint, observation), generation)


def _class_document(figures: ClassFigures) -> Manifest:
    return {
        "name": figures.qos_class,
        "requests": figures.num_requests,
        "onTime": figures.num_on_time,
        "attainment": f"{figures.attainment:.1%}",
    }


def _document(condition: Condition, generation: int) -> Manifest:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": generation,
    }


def _without_time(item: Mapping[str, Any]) -> Manifest:
    return {key: value for key, value in item.items() if key != "lastTransitionTime"}
