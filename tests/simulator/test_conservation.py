"""What no policy can change: no token is made or lost, time is spent once, and the KV cache holds what it can."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from niyama_core.latency import PhysicalLaw
from niyama_core.placement import PLACEMENTS
from niyama_core.policies import POLICIES
from niyama_eval.outcomes import OutcomeState, RequestOutcome
from niyama_eval.workloads import WorkloadRequest
from niyama_sim.cluster import SimulationError, SimulationResult, simulate
from niyama_sim.engine import SimulatedEngine

from tests.builders import A100
from tests.simulator.clusters import Watch, a_cluster, a_profile, asked, mixed
from tests.simulator.event_list import Body, Event, bodies, event_lists, through_simulator

EVERY_POLICY = pytest.mark.parametrize("policy", POLICIES)
EVERY_PLACEMENT = pytest.mark.parametrize("placement", PLACEMENTS)

TRAFFIC = mixed(150, qps=12.0)
"""More than three replicas can carry."""


def run(policy: str, placement: str = "niyama", *, num_replicas: int = 3) -> tuple[SimulationResult, Watch]:
    watch = Watch()
    cluster = a_cluster(policy, placement=placement, num_replicas=num_replicas, noise=0.05)
    return simulate(cluster, TRAFFIC, on_plan=watch), watch


@EVERY_PLACEMENT
@EVERY_POLICY
def test_every_request_ends_exactly_once_with_all_its_tokens(policy: str, placement: str) -> None:
    ended: list[RequestOutcome] = []
    cluster = a_cluster(policy, placement=placement, num_replicas=3, noise=0.05)
    result = simulate(cluster, TRAFFIC, on_outcome=ended.append)
    assert Counter(outcome.request_id for outcome in ended) == Counter(one.request_id for one in TRAFFIC)
    assert [outcome.request_id for outcome in result.outcomes] == [one.request_id for one in TRAFFIC]
    for one, outcome in zip(TRAFFIC, result.outcomes, strict=True):
        assert outcome.state is OutcomeState.COMPLETED
        assert len(outcome.emitted) == one.num_output_tokens
        assert sorted(set(outcome.emitted)) == list(outcome.emitted), "one token at a time"


@EVERY_POLICY
def test_every_token_is_computed_once(policy: str) -> None:
    result, _ = run(policy, num_replicas=1)
    (counts,) = result.engines
    assert counts.num_preempted == 0
    assert counts.prefill_tokens == sum(one.num_prompt_tokens for one in TRAFFIC)
    # The first token of an answer comes with its prefill.
    assert counts.decode_tokens == sum(one.num_output_tokens - 1 for one in TRAFFIC)


@EVERY_POLICY
def test_a_first_token_comes_only_after_the_time_that_its_prompt_takes(policy: str) -> None:
    result, _ = run(policy)
    assert isinstance(A100.law, PhysicalLaw)
    seconds_per_token = A100.law.token + A100.law.prefill
    for outcome in result.outcomes:
        assert outcome.ttft is not None
        assert outcome.ttft > 0.8 * seconds_per_token * outcome.num_prompt_tokens


@EVERY_POLICY
def test_busy_time_is_the_time_of_all_iterations_and_they_never_overlap(policy: str) -> None:
    result, watch = run(policy)
    for index, counts in enumerate(result.engines):
        iterations = watch.of(f"replica-{index}")
        assert counts.num_iterations == len(iterations)
        assert counts.num_prefill_iterations == sum(bool(iteration.plan.chunks) for iteration in iterations)
        assert counts.busy_seconds == pytest.approx(sum(iteration.seconds for iteration in iterations))
        assert counts.busy_seconds <= result.seconds
        for before, after in pairwise(iterations):
            assert before.ends <= after.begins


@EVERY_POLICY
def test_no_replica_rests_while_work_waits_on_it(policy: str) -> None:
    light = mixed(150, qps=1.0, seed=2)
    watch = Watch()
    result = simulate(a_cluster(policy, num_replicas=2, noise=0.05), light, on_plan=watch)
    num_pauses = 0
    for replica in ("replica-0", "replica-1"):
        for rests, goes_on in watch.pauses(replica):
            num_pauses += 1
            assert not list(on_replica(result.outcomes, replica, rests, before=goes_on))
    assert num_pauses > 20


def on_replica(outcomes: Sequence[RequestOutcome], replica: str, since: float, *, before: float) -> list[str]:
    """Return the requests that a replica held at some time in between."""
    return [
        outcome.request_id
        for outcome in outcomes
        if outcome.replica == replica
        and outcome.num_moves == 0
        and outcome.arrival < before
        and outcome.arrival + outcome.emitted[-1] > since + 1e-9
    ]


@EVERY_POLICY
def test_no_iteration_holds_more_than_its_budget_or_anyone_twice(policy: str) -> None:
    _, watch = run(policy)
    for iteration in watch.every():
        plan = iteration.plan
        batch = [*plan.decodes, *(chunk.request_id for chunk in plan.chunks)]
        assert len(batch) == len(set(batch))
        assert plan.shape.num_tokens <= max(plan.token_budget, len(plan.decodes))


@given(bodies(), event_lists())
def test_the_kv_cache_is_never_overdrawn_nor_overfull_and_empty_in_the_end(body: Body, events: list[Event]) -> None:
    seen: list[SimulatedEngine] = []

    def check(engine: SimulatedEngine) -> None:
        seen.append(engine)
        assert 0 <= engine.kv_used_tokens <= engine.kv_capacity_tokens

    through_simulator(body, events, check=check)
    assert seen[-1].kv_used_tokens == 0
    assert len(seen[-1].planner) == 0


def test_an_answer_ends_at_the_cap() -> None:
    cluster = replace(a_cluster(), max_output_tokens=7)
    (outcome,) = simulate(cluster, [asked(output=100)]).outcomes
    assert outcome.state is OutcomeState.COMPLETED
    assert len(outcome.emitted) == 7


def test_an_answer_ends_where_the_context_does() -> None:
    cluster = a_cluster(profile=a_profile(context_tokens=1020))
    (outcome,) = simulate(cluster, [asked(prompt=1000, output=100)]).outcomes
    assert len(outcome.emitted) == 20


@pytest.mark.parametrize(
    ("workload", "problem"),
    [
        ([asked("late", 2.0), asked("early", 1.0)], "'early' arrives before the one ahead of it"),
        ([asked("one", float("nan"))], "'one' arrives before"),
        ([asked("twin", 1.0), asked("twin", 2.0)], "'twin' is there twice"),
        ([asked("book", prompt=1_000_000)], "'book' has 1000000 prompt tokens: more than"),
    ],
)
def test_a_workload_that_cannot_be_run_is_refused_in_words(workload: list[WorkloadRequest], problem: str) -> None:
    with pytest.raises(SimulationError, match=problem):
        simulate(a_cluster(), workload)
