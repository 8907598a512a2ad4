"""Pools that classes have for themselves, and the rate limit at the door."""

from collections import Counter
from dataclasses import replace

import pytest
from niyama_core.policies import SchedulerSettings
from niyama_core.slo import Importance, default_classes
from niyama_eval.outcomes import OutcomeState
from niyama_sim.cluster import simulate
from niyama_sim.door import TokenBucket
from niyama_sim.settings import Pool, RateLimit, SettingsError, SimulationSettings, silo_pools

from tests.builders import SteadyLaw
from tests.simulator.clusters import CHAT, JOB, NIGHTLY, Watch, a_cluster, a_profile, asked, mixed

SILOS = a_cluster(placement="round-robin").in_pools(silo_pools(default_classes(), (3, 1, 2)))
POOL_OF = {"chat": {"replica-0", "replica-1", "replica-2"}, "summarise": {"replica-3"}}
POOL_OF["nightly"] = {"replica-4", "replica-5"}


def test_a_class_stays_in_its_pool() -> None:
    for outcome in simulate(SILOS, mixed(200, qps=6.0)).outcomes:
        assert outcome.replica in POOL_OF[outcome.qos_class]
        assert outcome.state is OutcomeState.COMPLETED


def test_each_pool_takes_its_own_turns() -> None:
    traffic = [asked(f"r{index}", 1.0 + index, promise=(CHAT, JOB, NIGHTLY)[index % 3]) for index in range(18)]
    ended = Counter(outcome.replica for outcome in simulate(SILOS, traffic).outcomes)
    assert ended == {"replica-0": 2, "replica-1": 2, "replica-2": 2, "replica-3": 6, "replica-4": 3, "replica-5": 3}


def test_published_silos_have_small_iterations_where_tokens_are_due_one_by_one() -> None:
    watch = Watch()
    simulate(SILOS, mixed(200, qps=6.0), on_plan=watch)
    budgets = {name: {one.plan.token_budget for one in iterations} for name, iterations in watch.iterations.items()}
    assert budgets["replica-0"] == {256}
    assert budgets["replica-3"] == budgets["replica-4"] == {2048}


def test_what_a_replica_gives_up_moves_within_its_pool() -> None:
    # A thousand prompt tokens take a second; "free" makes way for "paid", and every other replica rests.
    machine = a_profile(SteadyLaw(seconds=0.0, seconds_per_token=0.001))
    pools = silo_pools(default_classes(), (2, 1, 1), policy="niyama")
    settings = a_cluster(placement="round-robin", profile=machine).in_pools(pools)
    traffic = [
        asked("first", 1.0, prompt=1000),
        asked("other", 1.01, prompt=1),
        asked("free", 1.1, prompt=1500, promise=replace(CHAT, importance=Importance.LOW)),
        asked("another", 1.15, prompt=1),
        asked("paid", 1.2, prompt=4500),
    ]
    outcomes = {one.request_id: one for one in simulate(settings, traffic).outcomes}
    assert (outcomes["free"].num_moves, outcomes["free"].replica) == (1, "replica-1")


def test_several_classes_may_share_a_pool_under_a_policy_of_their_own() -> None:
    pools = (
        Pool(frozenset({"chat"}), 1, SchedulerSettings("niyama")),
        Pool(frozenset({"summarise", "nightly"}), 2, SchedulerSettings("sarathi-edf", token_budget=512)),
    )
    watch = Watch()
    outcomes = simulate(a_cluster().in_pools(pools), mixed(100, qps=3.0), on_plan=watch).outcomes
    assert {one.replica for one in outcomes if one.qos_class != "chat"} <= {"replica-1", "replica-2"}
    assert {one.plan.token_budget for one in watch.of("replica-1")} == {512}


@pytest.mark.parametrize(
    ("declare", "problem"),
    [
        (
            lambda: silo_pools(default_classes(), (7, 3)),
            "2 numbers of replicas for 3 classes: chat, summarise, nightly",
        ),
        (lambda: silo_pools(default_classes(), (7, 3, 0)), "pool of nightly: give it 1 replica or more"),
        (lambda: a_cluster().in_pools(SILOS.pools[:2]), "none serves nightly"),
        (lambda: SimulationSettings(pools=SILOS.pools), "they have 6 replicas, the cluster has 1"),
        (lambda: RateLimit(0.0, 1.0), "give a rate above 0"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_in_words(declare: object, problem: str) -> None:
    assert callable(declare)
    with pytest.raises(SettingsError, match=problem):
        declare()


def test_a_bucket_lets_in_a_burst_and_then_a_rate() -> None:
    bucket = TokenBucket(RateLimit(qps=2.0, burst=3.0))
    assert [bucket.lets_in(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.lets_in(0.25 * step) for step in range(1, 9)] == [False, True] * 4
    assert sum(bucket.lets_in(60.0) for _ in range(10)) == 3


def test_what_is_refused_at_the_door_is_a_violation_and_costs_nothing() -> None:
    traffic = mixed(200, qps=12.0)
    result = simulate(replace(a_cluster(), rate_limit=RateLimit(3.0, 3.0)), traffic)
    refused = [one for one in result.outcomes if one.state is OutcomeState.REJECTED]
    served = [one for one in result.outcomes if one.state is OutcomeState.COMPLETED]
    assert len(refused) + len(served) == len(traffic)
    assert len(served) <= 3.0 * traffic[-1].arrival + 3
    assert not any(one.is_on_time for one in refused)
    assert result.engines[0].prefill_tokens == sum(one.num_prompt_tokens for one in served)


def test_a_rate_that_is_not_reached_refuses_nobody() -> None:
    traffic = mixed(100, qps=1.0)
    assert simulate(replace(a_cluster(), rate_limit=RateLimit(50.0, 50.0)), traffic) == simulate(a_cluster(), traffic)
