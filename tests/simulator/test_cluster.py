"""Where a simulated cluster sends requests, when it moves them, and when it turns them away."""

from collections import Counter
from dataclasses import replace

import pytest
from niyama_core.slo import Importance
from niyama_eval.outcomes import OutcomeState, Relegation
from niyama_sim.cluster import simulate
from niyama_sim.settings import SimulationSettings

from tests.builders import SteadyLaw
from tests.simulator.clusters import CHAT, HURRIED, JOB, NIGHTLY, PICKY, a_cluster, a_profile, asked, mixed

# A thousand prompt tokens take a second, whatever the chunks.
A_SECOND_A_PROMPT = a_profile(SteadyLaw(seconds=0.0, seconds_per_token=0.001))


def where_each_ended(settings: SimulationSettings, num: int = 300, *, qps: float = 3.0) -> Counter[str]:
    return Counter(outcome.replica for outcome in simulate(settings, mixed(num, qps=qps)).outcomes)


def test_round_robin_spreads_requests_evenly() -> None:
    ended = where_each_ended(a_cluster("sarathi-fcfs", placement="round-robin", num_replicas=3))
    assert ended == {"replica-0": 100, "replica-1": 100, "replica-2": 100}


def test_least_loaded_spreads_a_burst_by_its_tokens() -> None:
    burst = [asked(f"r{index}", 1.0, prompt=4000 if index % 4 == 0 else 1000) for index in range(16)]
    outcomes = simulate(a_cluster("sarathi-fcfs", placement="least-loaded", num_replicas=4), burst).outcomes
    tokens: Counter[str] = Counter()
    for outcome in outcomes:
        tokens[outcome.replica] += outcome.num_prompt_tokens
    assert max(tokens.values()) - min(tokens.values()) <= 4000


def test_least_loaded_keeps_busy_time_balanced() -> None:
    settings = a_cluster("sarathi-fcfs", placement="least-loaded", num_replicas=3)
    busy = [counts.busy_seconds for counts in simulate(settings, mixed(300, qps=9.0)).engines]
    assert max(busy) < 1.1 * min(busy)


def test_placement_counts_what_was_placed_since_a_replicas_last_report() -> None:
    # Six requests within one report of the replicas: without the count all would go to the first.
    burst = [asked(f"r{index}", 1.0 + 1e-4 * index) for index in range(6)]
    outcomes = simulate(a_cluster("sarathi-fcfs", placement="least-loaded", num_replicas=3), burst).outcomes
    assert Counter(outcome.replica for outcome in outcomes) == {"replica-0": 2, "replica-1": 2, "replica-2": 2}


FREE_TIER = replace(CHAT, importance=Importance.LOW)

# In turn to replica-0 and replica-1. When the first iteration of replica-0 ends at 2 s, "free" is next in line by its
# deadline, but then "paid" would be late.
FREE_BEFORE_PAID = [
    asked("job", 1.0, prompt=1000, promise=JOB),
    asked("other", 1.01, prompt=1),
    asked("free", 1.1, prompt=1500, promise=FREE_TIER),
    asked("another", 1.15, prompt=1),
    asked("paid", 1.2, prompt=4500),
]


def two_in_turn(policy: str = "niyama") -> SimulationSettings:
    return a_cluster(policy, placement="round-robin", num_replicas=2, profile=A_SECOND_A_PROMPT)


@pytest.mark.parametrize("policy", ["niyama", "qoserve"])
def test_a_request_that_one_replica_gives_up_is_saved_by_another(policy: str) -> None:
    outcomes = {outcome.request_id: outcome for outcome in simulate(two_in_turn(policy), FREE_BEFORE_PAID).outcomes}
    assert outcomes["free"].num_moves == 1
    assert outcomes["free"].replica == "replica-1"
    assert outcomes["free"].relegation is Relegation.NONE
    assert all(outcome.is_on_time for outcome in outcomes.values())


def test_a_request_that_may_not_move_stays_and_is_late_but_whole() -> None:
    outcomes = simulate(replace(two_in_turn(), max_moves=0), FREE_BEFORE_PAID).outcomes
    free = outcomes[2]
    assert (free.num_moves, free.replica) == (0, "replica-0")
    assert free.relegation is Relegation.BEFORE_FIRST_TOKEN
    assert free.state is OutcomeState.COMPLETED
    assert not free.is_on_time
    assert all(outcome.is_on_time for outcome in outcomes if outcome is not free)


@pytest.mark.parametrize("max_moves", [0, 1, 2, 3])
def test_no_request_moves_more_often_than_it_may(max_moves: int) -> None:
    settings = replace(a_cluster(placement="least-loaded", num_replicas=4), max_moves=max_moves)
    workload = [
        replace(one, promise=HURRIED if index % 2 else NIGHTLY)
        for index, one in enumerate(mixed(400, qps=30.0, seed=3))
    ]
    most = max(outcome.num_moves for outcome in simulate(settings, workload).outcomes)
    assert min(max_moves, 1) <= most <= max_moves


@pytest.mark.parametrize("policy", ["niyama", "qoserve"])
def test_relegated_requests_are_served_in_the_end(policy: str) -> None:
    outcomes = simulate(a_cluster(policy, noise=0.05), mixed(200, qps=12.0)).outcomes
    relegated = [outcome for outcome in outcomes if outcome.relegation is Relegation.BEFORE_FIRST_TOKEN]
    assert relegated
    assert all(outcome.state is OutcomeState.COMPLETED for outcome in relegated)


def test_a_class_that_rejects_is_refused_at_the_door_in_overload() -> None:
    workload = [replace(one, promise=PICKY if index % 2 else JOB) for index, one in enumerate(mixed(200, qps=12.0))]
    result = simulate(a_cluster(), workload)
    rejected = [outcome for outcome in result.outcomes if outcome.state is OutcomeState.REJECTED]
    assert 0 < len(rejected) < 100
    assert {outcome.qos_class for outcome in rejected} == {"chat"}
    assert all(len(outcome.emitted) == 0 and outcome.replica == "" for outcome in rejected)
    accepted = [outcome for outcome in result.outcomes if outcome.state is OutcomeState.COMPLETED]
    assert len(accepted) + len(rejected) == len(workload)
    assert result.engines[0].prefill_tokens == sum(outcome.num_prompt_tokens for outcome in accepted)


def test_nobody_is_refused_while_promises_can_be_kept() -> None:
    workload = [asked(f"r{index}", 5.0 * index, promise=PICKY) for index in range(1, 20)]
    assert all(outcome.is_on_time for outcome in simulate(a_cluster(), workload).outcomes)


def test_a_cluster_without_work_has_no_time() -> None:
    result = simulate(a_cluster(num_replicas=2), [])
    assert (result.outcomes, result.seconds) == ((), 0.0)
    assert (result.num_iterations, result.mean_chunk_tokens, result.busy_fraction) == (0, None, None)


def test_a_run_says_how_busy_its_replicas_were_and_how_large_its_chunks() -> None:
    # An iteration of 1,000 prompt tokens takes a second, each of ten decodes a millisecond; the other replica rests.
    settings = a_cluster(num_replicas=2, profile=A_SECOND_A_PROMPT)
    result = simulate(settings, [asked("only", 1.0, prompt=1000, output=11)])
    assert result.num_iterations == 11
    assert result.mean_chunk_tokens == 1000
    assert result.seconds == pytest.approx(2.01)
    assert result.busy_fraction == pytest.approx(1.01 / (2 * 2.01))
