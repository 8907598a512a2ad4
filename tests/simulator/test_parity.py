"""The simulator and the engine of production plan the same, iteration by iteration, to the last bit of every float.

Plans, instants, room in the KV cache and seconds are compared by equality: a difference in rounding would tip a plan
sooner or later.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from niyama_core.policies import POLICIES, SchedulerSettings
from niyama_core.request import Request
from niyama_sim.cluster import simulate

from tests.builders import A100, SteadyLaw
from tests.simulator.clusters import CHAT, JOB, Watch, a_cluster, a_profile, mixed, poisson
from tests.simulator.event_list import (
    Abort,
    Admit,
    Body,
    Event,
    Ran,
    admit,
    bodies,
    event_lists,
    through_paced_engine,
    through_simulator,
)

OVERLOAD_QPS = 8.0
EVERY_POLICY = pytest.mark.parametrize("policy", POLICIES)


def with_aborts(admissions: Sequence[Admit], *, seed: int = 0) -> list[Event]:
    """Return the arrivals, every fifth of them given up a little later, begun or not."""
    rng = random.Random(seed)
    aborts = [Abort(a.at + rng.expovariate(0.5), a.request.request_id) for a in admissions[::5]]
    return sorted([*admissions, *aborts], key=lambda event: event.at)


def ran_alike(body: Body, events: Sequence[Event]) -> list[Ran]:
    """Return what was run, the same in both bodies."""
    simulated, paced = through_simulator(body, events), through_paced_engine(body, events)
    for index, (in_simulation, in_production) in enumerate(zip(simulated, paced, strict=False)):
        assert in_simulation == in_production, f"iteration {index}"
    assert len(simulated) == len(paced)
    return simulated


@EVERY_POLICY
def test_mixed_traffic_in_overload_is_planned_alike(policy: str) -> None:
    ran = ran_alike(Body(scheduler=SchedulerSettings(policy)), list(map(admit, mixed(120, qps=OVERLOAD_QPS))))
    relegates = policy in {"niyama", "qoserve"}
    assert any(iteration.plan.relegated for iteration in ran) == relegates


@EVERY_POLICY
def test_the_same_seed_brings_the_same_noise(policy: str) -> None:
    body = Body(scheduler=SchedulerSettings(policy), noise=0.05, seed=7)
    events = list(map(admit, mixed(60, qps=OVERLOAD_QPS)))
    ran = ran_alike(body, events)
    assert [iteration.seconds for iteration in ran] != [
        iteration.seconds for iteration in through_simulator(replace(body, seed=8), events)
    ]


@EVERY_POLICY
def test_requests_that_are_given_up_leave_no_difference(policy: str) -> None:
    body = Body(scheduler=SchedulerSettings(policy), noise=0.05)
    ran_alike(body, with_aborts(list(map(admit, mixed(100, qps=OVERLOAD_QPS)))))


@EVERY_POLICY
def test_a_short_kv_cache_makes_no_difference(policy: str) -> None:
    # Answers are longer than is expected while none has ended, so more begin than will fit to their end.
    profile = replace(A100, kv_capacity_tokens=1500)
    body = Body(scheduler=SchedulerSettings(policy, max_num_seqs=12), profile=profile, noise=0.05)
    traffic = poisson(
        40, qps=4.0, size=lambda rng: (rng.randint(20, 200), rng.randint(250, 500), rng.choice([CHAT, JOB]))
    )
    ran = ran_alike(body, with_aborts(list(map(admit, traffic))))
    assert any(iteration.plan.preempted for iteration in ran)


def test_a_predictor_that_learns_makes_no_difference() -> None:
    body = Body(scheduler=SchedulerSettings(calibrated=True), noise=0.05)
    learned = ran_alike(body, list(map(admit, mixed(60, qps=OVERLOAD_QPS))))
    knowing = Body(scheduler=SchedulerSettings(calibrated=False), noise=0.05)
    assert learned != through_simulator(knowing, list(map(admit, mixed(60, qps=OVERLOAD_QPS))))


def test_a_faster_machine_makes_no_difference() -> None:
    ran_alike(Body(speed=3.0, noise=0.05), list(map(admit, mixed(120, qps=3 * OVERLOAD_QPS))))


@EVERY_POLICY
def test_a_cluster_of_one_plans_as_its_engine_would(policy: str) -> None:
    traffic = mixed(120, qps=OVERLOAD_QPS)
    watch = Watch()
    simulate(a_cluster(policy, noise=0.05), traffic, on_plan=watch)
    paced = through_paced_engine(Body(scheduler=SchedulerSettings(policy), noise=0.05), list(map(admit, traffic)))
    assert [(i.begins, i.plan, i.seconds) for i in watch.of()] == [(r.now, r.plan, r.seconds) for r in paced]


def test_an_arrival_at_the_end_of_an_iteration_is_in_the_next() -> None:
    body = Body(profile=a_profile(SteadyLaw(seconds=0.25, seconds_per_token=0.0)))
    first, second = (
        Admit(at, Request(name, CHAT, at, num_prompt_tokens=100, max_output_tokens=100), num_output_tokens=3)
        for name, at in (("first", 1.0), ("second", 1.25))
    )
    ran = ran_alike(body, [first, second])
    assert [len(iteration.plan.decodes) for iteration in ran] == [0, 1, 2, 1]


def test_a_request_that_is_given_up_and_comes_again_within_an_iteration_begins_anew() -> None:
    first, again = (Request("same", CHAT, at, num_prompt_tokens=1000, max_output_tokens=100) for at in (1.0, 1.02))
    events: list[Event] = [Admit(1.0, first, 3), Abort(1.01, "same"), Admit(1.02, again, 3)]
    ran = ran_alike(Body(), events)
    free = A100.kv_capacity_tokens
    assert [iteration.kv_free_tokens for iteration in ran] == [free, free, free - 1000, free - 1001]


@given(bodies(), event_lists())
def test_whatever_happens_is_planned_alike(body: Body, events: list[Event]) -> None:
    ran_alike(body, events)
