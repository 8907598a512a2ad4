"""The status: conditions that are true to what is, and no writing without news."""

from typing import Any

import pytest
from niyama_operator.checks import Finding, FindingReason
from niyama_operator.events import event, news
from niyama_operator.manifests.blueprint import Blueprint, Manifest
from niyama_operator.observation import Observation
from niyama_operator.rollout import REPLACE, SURGE
from niyama_operator.status import broken_status, is_worth_writing, status_document, with_times

from tests.operator.builders import a_blueprint, a_deployment, a_pod, a_router, a_view, an_observation

PROBLEM = Finding(FindingReason.INSUFFICIENT_GPUS, "0/1 nodes are available: Insufficient nvidia.com/gpu")


def status_of(observation: Observation, *findings: Finding, blueprint: Blueprint | None = None) -> Manifest:
    return status_document(blueprint or a_blueprint(), observation, findings=findings, generation=3)


def condition(status: Manifest, name: str) -> tuple[str, str]:
    (found,) = (item for item in status["conditions"] if item["type"] == name)
    return found["status"], found["reason"]


def test_a_cluster_in_which_everything_serves_is_ready() -> None:
    status = status_of(an_observation(a_pod(), a_router(), view=a_view(("chat", 10, 10))))
    assert condition(status, "Ready") == ("True", "AllReady")
    assert condition(status, "Progressing") == ("False", "Settled")
    assert condition(status, "Degraded") == ("False", "NoProblem")
    assert condition(status, "SLOAttained") == ("True", "PromisesKept")
    assert (status["replicas"], status["readyReplicas"], status["readyRouters"]) == (1, 1, 1)
    assert status["endpoint"] == "llama.models.svc.cluster.local:50051"
    assert status["engine"] == "vllm"
    assert status["selector"] == "app.kubernetes.io/component=replica,niyama.dev/cluster=llama"
    assert {item["observedGeneration"] for item in status["conditions"]} == {3}


def test_a_cluster_that_lacks_replicas_says_why() -> None:
    status = status_of(an_observation(a_router()), PROBLEM)
    assert condition(status, "Ready") == ("False", "InsufficientGpus")
    assert condition(status, "Degraded") == ("True", "InsufficientGpus")
    assert status["problem"] == PROBLEM.message


@pytest.mark.parametrize(
    ("pods", "reason"),
    [([a_pod(), a_router(ready=False)], "RoutersNotReady"), ([a_router()], "ReplicasNotReady")],
)
def test_a_cluster_that_is_on_its_way_is_not_ready(pods: list[Any], reason: str) -> None:
    assert condition(status_of(an_observation(*pods)), "Ready") == ("False", reason)


def test_a_cluster_of_no_replicas_says_that_it_refuses() -> None:
    status = status_of(an_observation(a_router()), blueprint=a_blueprint(replicas=0))
    assert condition(status, "Ready") == ("False", "ScaledToZero")


@pytest.mark.parametrize(("strategy", "reason"), [(SURGE, "RollingOut"), (REPLACE, "ReplacingInPlace")])
def test_a_rollout_says_which_goes_first(strategy: Manifest, reason: str) -> None:
    live = a_deployment(status={"replicas": 2, "updatedReplicas": 1}, spec={"strategy": dict(strategy)})
    status = status_of(an_observation(a_pod(), a_router(), objects=[live]))
    assert condition(status, "Progressing") == ("True", reason)
    # The old replica serves on.
    assert condition(status, "Ready")[0] == "True"


def test_one_replica_without_room_says_what_that_means() -> None:
    live = a_deployment(status={"replicas": 1, "updatedReplicas": 0}, spec={"strategy": dict(REPLACE)})
    status = status_of(an_observation(a_router(), objects=[live]))
    (found,) = (item for item in status["conditions"] if item["type"] == "Progressing")
    assert "with one replica nobody serves in between" in found["message"]


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([("chat", 100, 98)], ("False", "PromisesMissed")),
        ([("chat", 100, 99), ("nightly", 100, 0)], ("True", "PromisesKept")),
        ([("nightly", 100, 0)], ("Unknown", "NoTraffic")),
        ([], ("Unknown", "NoTraffic")),
    ],
)
def test_only_promises_of_high_importance_count(classes: list[tuple[str, int, int]], expected: tuple[str, str]) -> None:
    status = status_of(an_observation(a_pod(), a_router(), view=a_view(*classes)))
    assert condition(status, "SLOAttained") == expected


def test_a_manifest_that_cannot_be_built_keeps_what_was_known() -> None:
    former = with_times(status_of(an_observation(a_pod(), a_router())), {}, now="then")
    status = broken_status(Finding(FindingReason.INVALID_SPEC, "spec.x: is wrong"), 4, former=former)
    assert condition(status, "Ready") == ("False", "InvalidSpec")
    assert (status["readyReplicas"], status["observedGeneration"], status["problem"]) == (1, 4, "spec.x: is wrong")
    assert {item["type"] for item in status["conditions"]} == {"Ready", "Progressing", "Degraded", "SLOAttained"}


def test_only_a_change_of_status_moves_a_conditions_time() -> None:
    ready = status_of(an_observation(a_pod(), a_router()))
    first = with_times(ready, {}, now="then")
    assert with_times(ready, first, now="now") == first
    later = with_times(status_of(an_observation(a_router())), first, now="now")
    times = {item["type"]: item["lastTransitionTime"] for item in later["conditions"]}
    assert (times["Ready"], times["Degraded"]) == ("now", "then")


def test_figures_of_classes_are_written_once_a_minute_and_all_else_at_once() -> None:
    former = status_of(an_observation(a_pod(), a_router(), view=a_view(("chat", 10, 10))))
    figures = status_of(an_observation(a_pod(), a_router(), view=a_view(("chat", 11, 11))))
    assert not is_worth_writing(former, former, seconds_since_last=1e9)
    assert not is_worth_writing(figures, former, seconds_since_last=59)
    assert is_worth_writing(figures, former, seconds_since_last=60)
    assert is_worth_writing(status_of(an_observation(a_router())), former, seconds_since_last=0)


def test_events_tell_what_changed_once_and_warn_of_what_is_bad() -> None:
    good = with_times(status_of(an_observation(a_pod(), a_router())), {}, now="then")
    bad = with_times(status_of(an_observation(a_router()), PROBLEM), good, now="now")
    resource = {"metadata": {"name": "llama", "namespace": "models", "uid": "u"}}

    def told(status: Manifest, former: Manifest) -> dict[str, str]:
        events = [event(resource, item, now="now") for item in news(status, former)]
        return {item["reason"]: item["type"] for item in events}

    assert told(good, good) == {}
    assert told(bad, good) == {"InsufficientGpus": "Warning", "Scaling": "Normal"}
    assert told(good, bad) == {"AllReady": "Normal", "NoProblem": "Normal", "Settled": "Normal"}


def test_an_operator_that_has_asked_no_router_yet_leaves_what_routers_said() -> None:
    pods = (a_pod(), a_router())
    told = with_times(status_of(an_observation(*pods, view=a_view(("chat", 10, 5)))), {}, now="2026-01-01T00:00:00Z")
    again = status_document(a_blueprint(), an_observation(*pods), findings=(), generation=3, former=told)
    assert with_times(again, told, now="2026-01-02T00:00:00Z") == told
    silent = status_document(
        a_blueprint(), an_observation(*pods, view=a_view()), findings=(), generation=3, former=told
    )
    assert condition(silent, "SLOAttained") != condition(told, "SLOAttained")
