"""Several clusters on the same requests."""

from dataclasses import replace

import pytest
from niyama_eval.counted import Counted
from niyama_eval.errors import WorkloadError
from niyama_eval.settings import WorkloadSettings
from niyama_sim.contest import Contest, Trial, hold, simulate_trial
from niyama_sim.settings import SimulationSettings

WORKLOAD = WorkloadSettings(workloads=("azure-code-2024",), qps=6.0, num_requests=80, context_tokens=16_384)
CLUSTER = SimulationSettings()
CONTEST = Contest(
    contenders={policy: CLUSTER.with_policy(policy) for policy in ("niyama", "sarathi-fcfs")},
    workload=WORKLOAD,
    seeds=(3, 4),
    rates=(4.0, 9.0),
)


def test_every_contender_runs_at_every_rate_under_every_seed() -> None:
    told: list[Trial] = []
    found = hold(CONTEST, on_trial=lambda trial, figures: told.append(trial))
    assert list(found) == told == list(CONTEST.trials())
    assert len({repr(figures) for figures in found.values()}) == len(found) == 8
    for seed in (3, 4):
        fcfs = [found[Trial("sarathi-fcfs", seed, qps)]["p50_s"]["class chat"] for qps in (4.0, 9.0)]
        assert fcfs[0] < fcfs[1], "more load, longer waits"


def test_how_many_run_at_a_time_changes_nothing() -> None:
    few = replace(CONTEST, rates=(9.0,))
    assert hold(few, jobs=2) == hold(few)


def test_contenders_that_are_alike_come_out_alike() -> None:
    twins = replace(CONTEST, contenders={"one": CLUSTER, "other": CLUSTER}, rates=())
    found = hold(twins)
    assert found[Trial("one", 3, 6.0)] == found[Trial("other", 3, 6.0)] != found[Trial("one", 4, 6.0)]


def test_a_run_of_which_nothing_counts_is_refused() -> None:
    with pytest.raises(WorkloadError, match="leave out less"):
        simulate_trial(replace(CONTEST, counted=Counted(warm_up=1000.0)), CONTEST.trials()[0])
