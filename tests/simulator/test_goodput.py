"""Goodput of a simulated replica: the searches, driven."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from niyama_eval.goodput import Point
from niyama_eval.goodput_search import SearchError
from niyama_eval.settings import WorkloadSettings
from niyama_sim.goodput import Asked, Goodput, GoodputSettings, estimate_qps, find_goodput, simulate_point
from niyama_sim.settings import SimulationSettings

WORKLOAD = WorkloadSettings(workloads=("azure-conv-2023",), qps=1.0, num_requests=400, context_tokens=16_384)
STRICT = GoodputSettings(cluster=SimulationSettings(), workload=WORKLOAD, rule="strict", seeds=(1, 2), resolution=0.2)


def found(
    settings: GoodputSettings = STRICT, *, jobs: int = 1, known: Mapping[Asked, Point] | None = None
) -> tuple[Goodput, dict[Asked, Point]]:
    """Return what is found for one policy, and the points that were simulated."""
    simulated: dict[Asked, Point] = {}
    goodputs = find_goodput(settings, ["qoserve"], jobs=jobs, known=known, on_point=simulated.__setitem__)
    return goodputs["qoserve"], simulated


@pytest.fixture(scope="module")
def alone() -> tuple[Goodput, dict[Asked, Point]]:
    return found()


def test_what_is_found_passes_and_the_next_rate_fails_for_the_reason_given(
    alone: tuple[Goodput, dict[Asked, Point]],
) -> None:
    goodput, simulated = alone
    assert set(goodput.by_seed) == {1, 2}
    for seed, qps in goodput.by_seed.items():
        tried = {asked.qps for asked in simulated if asked.seed == seed}
        assert qps in tried
        assert STRICT.grid.qps(STRICT.grid.step(qps) + 1) in tried
        assert goodput.limits[seed]


def test_neither_processes_nor_known_points_change_the_result(alone: tuple[Goodput, dict[Asked, Point]]) -> None:
    goodput, simulated = alone
    again, newly = found(known=simulated)
    together, others = found(jobs=2)
    assert again == goodput == together
    assert newly == {}
    assert others == simulated


def test_rates_are_those_of_a_replica() -> None:
    two = replace(STRICT, cluster=replace(STRICT.cluster, num_replicas=2))
    one, both = (simulate_point(settings, Asked("qoserve", 1, 20.0)) for settings in (STRICT, two))
    assert both.backlog_growth == pytest.approx(one.backlog_growth, abs=0.2)


def test_a_run_too_short_to_fail_is_no_goodput() -> None:
    settings = replace(STRICT, rule="published", seeds=(1,), workload=replace(WORKLOAD, num_requests=2))
    with pytest.raises(SearchError, match="qoserve, seed 1: every rate passes"):
        found(settings)


def test_the_estimate_is_near_what_one_gpu_can_carry() -> None:
    code = replace(STRICT, workload=replace(WORKLOAD, workloads=("azure-code-2024",)))
    assert 3.0 < estimate_qps(code) < 5.0
