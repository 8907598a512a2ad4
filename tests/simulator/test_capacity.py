"""The fewest replicas of a fleet, simulated."""

from dataclasses import replace

import pytest
from niyama_core.policies import SchedulerSettings
from niyama_core.slo import Batch, Interactive, QosClass, QosClasses, default_classes
from niyama_eval.errors import EvaluationError
from niyama_eval.goodput import measure_point
from niyama_eval.requirement import Measure, Requirement
from niyama_eval.settings import WorkloadSettings
from niyama_sim.capacity import (
    CapacitySettings,
    Fleet,
    Trial,
    draw_requests,
    estimate_replicas,
    find_capacity,
    shared_fcfs,
    silo_fleets,
    simulate_trial,
)
from niyama_sim.cluster import simulate
from niyama_sim.settings import SimulationSettings, silo_pools

OURS = Fleet("ours", SchedulerSettings("qoserve"), "niyama")
SETTINGS = CapacitySettings(
    cluster=SimulationSettings(),
    workload=WorkloadSettings(workloads=("azure-code-2024",), qps=14.0, num_requests=250, context_tokens=16_384),
    measure=Measure(),
    seeds=(1, 2),
    most=16,
)


@pytest.fixture(scope="module")
def found() -> dict[str, Requirement]:
    fleets = OURS, *silo_fleets(SETTINGS.cluster.classes, placement="round-robin")
    return dict(find_capacity(SETTINGS, fleets))


def test_what_is_found_passes_and_one_fewer_does_not(found: dict[str, Requirement]) -> None:
    for one in found.values():
        assert one.num_replicas is not None
        assert one.passes(one.num_replicas)
        assert one.num_replicas == 1 or not one.passes(one.num_replicas - 1)


def test_a_silo_serves_its_class_alone(found: dict[str, Requirement]) -> None:
    assert set(found) == {"ours", "silo chat", "silo summarise", "silo nightly"}
    assert list(found["silo chat"].curve[0][1]) == ["chat"]
    assert set(found["ours"].curve[0][1]) == {"chat", "summarise", "nightly"}


def test_neither_where_a_search_begins_nor_processes_change_what_is_found(found: dict[str, Requirement]) -> None:
    for start, jobs in ((1, 1), (9, 2)):
        again = find_capacity(SETTINGS, [OURS], start=start, jobs=jobs)["ours"]
        assert again.num_replicas == found["ours"].num_replicas


def test_a_fleet_that_no_number_of_replicas_lets_keep_its_promise_has_none() -> None:
    hurried = QosClasses({"chat": QosClass("chat", Interactive(ttft=0.05, tbt=0.05))}, "chat")
    settings = replace(SETTINGS, cluster=replace(SETTINGS.cluster, classes=hurried), most=2, seeds=(1,))
    found = find_capacity(settings, [OURS])["ours"]
    assert found.num_replicas is None
    assert "no number of replicas" in found.confidence()


def test_baselines_have_the_published_token_budgets() -> None:
    classes = default_classes()
    budgets = {pool.qos_class: pool.scheduler.token_budget for pool in silo_fleets(classes, placement="round-robin")}
    assert budgets == {"chat": 256, "summarise": 2048, "nightly": 2048}
    assert shared_fcfs(classes, placement="round-robin").scheduler.token_budget == 256
    jobs = QosClasses({"job": QosClass("job", Batch(60.0))}, "job")
    assert shared_fcfs(jobs, placement="round-robin").scheduler.token_budget == 2048


def test_silos_searched_apart_come_to_what_one_cluster_of_silos_comes_to() -> None:
    classes = SETTINGS.cluster.classes
    quiet = replace(SETTINGS, cluster=replace(SETTINGS.cluster, noise=0.0))
    together = replace(quiet.cluster, placement="round-robin").in_pools(silo_pools(classes, [3, 1, 2]))
    whole = measure_point(simulate(together, draw_requests(quiet, seed=1)).outcomes)
    for fleet, num in zip(silo_fleets(classes, placement="round-robin"), (3, 1, 2), strict=True):
        for name, share in simulate_trial(quiet, Trial(fleet, num, 1)).violations.items():
            assert share == whole.violations[name]


def test_the_estimate_grows_with_the_rate() -> None:
    def estimate(qps: float) -> int:
        faster = replace(SETTINGS, workload=replace(SETTINGS.workload, qps=qps, num_requests=2000))
        return estimate_replicas(draw_requests(faster, seed=1), faster.cluster)

    assert estimate(1.0) == 1
    assert 4 * estimate(10.0) - 4 <= estimate(40.0) <= 4 * estimate(10.0)


def test_a_time_in_which_nothing_arrives_is_refused() -> None:
    empty = WorkloadSettings(workloads=("sharegpt",), qps=0.001, duration=1.0)
    with pytest.raises(EvaluationError, match="no request arrives"):
        draw_requests(replace(SETTINGS, workload=empty), seed=1)


def test_the_same_seed_gives_every_fleet_the_same_requests() -> None:
    trials = [Trial(OURS, 3, 1), Trial(replace(OURS, name="other"), 3, 1)]
    first, second = (simulate_trial(SETTINGS, trial) for trial in trials)
    assert first == second
