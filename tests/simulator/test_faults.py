"""What a simulated cluster lives through when replicas are lost, slow, or restarted."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from niyama_eval.outcomes import OutcomeState, Relegation, RequestOutcome
from niyama_eval.workloads import WorkloadRequest
from niyama_sim.cluster import SimulationResult, simulate
from niyama_sim.faults import Fault, Lose, Restart, Slow, parse_faults
from niyama_sim.settings import SettingsError, SimulationSettings, silo_pools

from tests.simulator.clusters import CHAT, HURRIED, JOB, NIGHTLY, PICKY, Watch, a_cluster, a_profile, asked, mixed

TRAFFIC = mixed(120, qps=15.0)
"""More than three replicas can carry; the last arrives after 8 s."""

RESTLESS = [
    replace(one, promise=HURRIED if index % 2 else NIGHTLY) for index, one in enumerate(mixed(200, qps=30.0, seed=3))
]
"""Requests that are relegated and moved all the time."""

FAULTS = (
    "lose:1@3s",
    "lose:1@3s:2s",
    "slow:0@2s:3s:4",
    "restart:all@2s:1s",
    "restart:all@2s:1s,lose:0@2100ms:500ms",
    "lose:0@2s:1s,lose:1@2s:2s,lose:2@2s:3s",
    "lose:1@3s:1s,lose:1@3500ms,slow:1@1s:9s:2,restart:1@3s:1s",
)


def with_faults(text: str, policy: str = "niyama", *, placement: str = "niyama") -> SimulationSettings:
    cluster = a_cluster(policy, placement=placement, num_replicas=3, noise=0.05)
    return replace(cluster, faults=parse_faults(text))


def check_conservation(workload: Sequence[WorkloadRequest], cluster: SimulationSettings) -> SimulationResult:
    """Run it, and see every request end once with all its tokens, each emitted once."""
    ended: list[RequestOutcome] = []
    result = simulate(cluster, workload, on_outcome=ended.append)
    assert Counter(outcome.request_id for outcome in ended) == Counter(one.request_id for one in workload)
    for one, outcome in zip(workload, result.outcomes, strict=True):
        assert outcome.request_id == one.request_id
        assert outcome.state is OutcomeState.COMPLETED
        assert len(outcome.emitted) == one.num_output_tokens
        assert sorted(set(outcome.emitted)) == list(outcome.emitted), "one token at a time"
    return result


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("policy", ["niyama", "qoserve", "sarathi-fcfs"])
def test_whatever_goes_wrong_every_request_ends_with_all_its_tokens_once(policy: str, faults: str) -> None:
    check_conservation(TRAFFIC, with_faults(faults, policy))


@pytest.mark.parametrize("faults", FAULTS)
def test_nothing_is_lost_while_requests_move_and_routers_know_little(faults: str) -> None:
    cluster = replace(with_faults(faults, placement="least-loaded"), num_routers=4, load_age=1.0)
    undisturbed = check_conservation(RESTLESS, replace(cluster, faults=()))
    assert sum(outcome.num_moves for outcome in undisturbed.outcomes) > 10
    check_conservation(RESTLESS, cluster)


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_whatever_comes_together(seed: int) -> None:
    rng = random.Random(seed)

    def one() -> Fault:
        replica, at, seconds = rng.randrange(3), rng.uniform(0, 9), rng.uniform(0.1, 4)
        faults: list[Fault] = [Lose(replica, at, seconds), Slow(replica, at, seconds, 5.0)]
        faults.append(Restart(None, at, seconds / 5))
        return faults[rng.randrange(3)]

    cluster = replace(a_cluster(num_replicas=3, noise=0.05, seed=seed), faults=tuple(one() for _ in range(6)))
    check_conservation(mixed(80, qps=10.0, seed=seed), cluster)


def test_a_run_with_faults_can_be_repeated_exactly() -> None:
    cluster = with_faults("lose:1@3s:2s,restart:all@6s:1s")
    assert simulate(cluster, TRAFFIC) == simulate(cluster, TRAFFIC)


def test_a_fault_after_the_last_answer_changes_nothing() -> None:
    assert simulate(with_faults("lose:1@10h"), TRAFFIC) == simulate(with_faults("lose:1@10h:1h"), TRAFFIC)
    assert simulate(with_faults("lose:1@10h"), TRAFFIC).seconds < 3600


STEADY = replace(a_cluster(num_replicas=2, placement="round-robin", profile=a_profile()), load_age=0.0)


def test_a_lost_replica_runs_nothing_until_it_is_back() -> None:
    watch = Watch()
    simulate(with_faults("lose:1@3s:2s"), TRAFFIC, on_plan=watch)
    begins = [iteration.begins for iteration in watch.of("replica-1")]
    assert any(begin < 3.0 for begin in begins)
    assert not any(3.0 <= begin < 5.0 for begin in begins)
    assert any(begin >= 5.0 for begin in begins)


def test_an_answer_that_has_begun_is_resumed_elsewhere_from_prompt_and_tokens_so_far() -> None:
    watch = Watch()
    alone = [asked("only", 1.0, prompt=1000, output=200)]
    undisturbed = simulate(STEADY, alone).outcomes[0]
    half_way = 1.0 + undisturbed.emitted[99] + 1e-6
    (lost,) = simulate(replace(STEADY, faults=(Lose(0, half_way),)), alone, on_plan=watch).outcomes
    assert (lost.replica, lost.num_moves) == ("replica-1", 1)
    assert list(lost.emitted[:100]) == list(undisturbed.emitted[:100])
    assert len(lost.emitted) == 200
    resumed = watch.of("replica-1")
    assert sum(chunk.num_tokens for iteration in resumed for chunk in iteration.plan.chunks) == 1000 + 100
    assert sum(len(iteration.plan.decodes) for iteration in resumed) == 200 - 100 - 1
    assert lost.emitted[100] > half_way - 1.0


def test_an_answer_that_is_resumed_after_its_first_token_was_due_is_not_put_behind() -> None:
    # By its first token, which was due at 7 s, it would be hopeless; its next one is due after 70 s.
    jobs = [asked(f"job{index}", 14.9, prompt=4000, promise=JOB) for index in range(60)]
    cluster = replace(STEADY, faults=parse_faults("lose:0@15s"))
    resumed, *others = simulate(cluster, [asked("resumed", 1.0, prompt=4000, output=2000), *jobs]).outcomes
    assert resumed.num_moves == 1
    assert (resumed.relegation, resumed.num_late_tokens) == (Relegation.NONE, 0)
    goes_on = next(after for before, after in pairwise(resumed.emitted) if after - before > 0.1)
    assert goes_on < 16.0
    assert sum(outcome.emitted[0] + outcome.arrival > goes_on + 1.0 for outcome in others) > 40


def test_what_was_accepted_is_not_refused_when_its_replica_is_lost() -> None:
    traffic = [asked(f"r{index}", 1.0 + 0.001 * index, prompt=3000, promise=PICKY) for index in range(4)]
    cluster = replace(a_cluster(num_replicas=4), faults=parse_faults("lose:0@1100ms,lose:1@1100ms,lose:2@1100ms"))
    before = simulate(replace(cluster, faults=()), traffic).outcomes
    assert all(outcome.state is OutcomeState.COMPLETED for outcome in before)
    after = simulate(cluster, traffic).outcomes
    assert all(outcome.state is OutcomeState.COMPLETED for outcome in after)
    assert {outcome.replica for outcome in after} == {"replica-3"}
    assert not all(outcome.is_on_time for outcome in after)


def test_without_any_replica_requests_wait_for_one_to_come_back() -> None:
    cluster = replace(STEADY, faults=parse_faults("lose:0@500ms:3s,lose:1@500ms"))
    (outcome,) = simulate(cluster, [asked("waits", 1.0)]).outcomes
    assert outcome.state is OutcomeState.COMPLETED
    assert outcome.ttft is not None
    assert outcome.ttft > 2.5


def test_a_class_whose_pool_is_away_waits_for_it_and_goes_nowhere_else() -> None:
    whole = a_cluster()
    cluster = whole.in_pools(silo_pools(whole.classes, [1, 1, 1]))
    away = replace(cluster, faults=parse_faults("lose:0@2s:3s"))
    outcomes = check_conservation(TRAFFIC, away).outcomes
    assert {outcome.replica for outcome in outcomes if outcome.qos_class == "chat"} == {"replica-0"}
    waited = [o for o in outcomes if o.qos_class == "chat" and o.arrival > 2.0 and o.arrival < 5.0]
    assert waited
    assert all(outcome.ttft is not None and outcome.arrival + outcome.ttft > 5.0 for outcome in waited)


def test_a_replica_that_is_alone_may_be_restarted() -> None:
    cluster = replace(a_cluster(), faults=parse_faults("restart:all@1s:2s"))
    check_conservation(mixed(30, qps=6.0), cluster)


def test_without_any_replica_for_good_requests_fail_and_are_not_lost() -> None:
    cluster = replace(STEADY, faults=parse_faults("lose:0@1500ms,lose:1@1500ms"))
    traffic = [asked("before", 1.0, output=5), asked("during", 1.4, prompt=16000, output=400), asked("after", 2.0)]
    before, during, after = simulate(cluster, traffic).outcomes
    assert before.state is OutcomeState.COMPLETED
    assert (during.state, after.state) == (OutcomeState.FAILED, OutcomeState.FAILED)
    assert (during.replica, after.replica) == ("", "")


def test_a_slow_replica_takes_longer_for_as_long_as_it_is_slow() -> None:
    watch = Watch()
    cluster = replace(with_faults("slow:1@2s:3s:4"), noise=0.0)
    simulate(cluster, TRAFFIC, on_plan=watch)
    law = cluster.profile.law
    for name in ("replica-0", "replica-1"):
        for iteration in watch.of(name):
            is_slow = name == "replica-1" and 2.0 <= iteration.begins < 5.0
            expected = (4.0 if is_slow else 1.0) * law.iteration_time(iteration.plan.shape)
            assert iteration.seconds == pytest.approx(expected)


def test_placement_sends_less_to_a_replica_that_is_slow() -> None:
    went = Counter(outcome.replica for outcome in simulate(with_faults("slow:1@0:10m:4"), TRAFFIC).outcomes)
    assert went["replica-1"] < 0.8 * min(went["replica-0"], went["replica-2"])


def test_a_rolling_restart_breaks_no_answer_off_and_has_one_replica_away_at_a_time() -> None:
    watch = Watch()
    light = mixed(150, qps=6.0, seed=5)
    result = simulate(with_faults("restart:all@3s:2s"), light, on_plan=watch)
    # Each decode is computed once: what ran was finished where it ran.
    assert sum(counts.decode_tokens for counts in result.engines) == sum(one.num_output_tokens - 1 for one in light)
    gaps = [
        next((begin, end) for begin, end in watch.pauses(f"replica-{index}") if end - begin >= 2.0)
        for index in range(3)
    ]
    assert gaps == sorted(gaps)
    assert all(before[0] + 2.0 <= after[0] for before, after in pairwise(gaps))


def test_a_drained_replica_hands_back_what_has_not_begun() -> None:
    # Thirty long prompts on one replica, of which it can have begun few.
    traffic = [asked(f"r{index}", 1.0 + 0.001 * index, prompt=4000, promise=CHAT) for index in range(30)]
    cluster = replace(a_cluster("sarathi-fcfs", num_replicas=2, placement="round-robin"), load_age=0.0)
    outcomes = simulate(replace(cluster, faults=parse_faults("restart:0@1500ms:1s")), traffic).outcomes
    moved = [outcome for outcome in outcomes if outcome.num_moves]
    assert len(moved) > 10
    assert {outcome.replica for outcome in moved} == {"replica-1"}
    assert all(outcome.ttft is not None and outcome.arrival + outcome.ttft > 1.5 for outcome in moved)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("lose:3@10m", Lose(3, 600.0)),
        ("lose:3@10m:90s", Lose(3, 600.0, 90.0)),
        ("slow:0@0:2m:1.5", Slow(0, 0.0, 120.0, 1.5)),
        ("restart:all@10m:30s", Restart(None, 600.0, 30.0)),
        ("restart:2@10m:30s", Restart(2, 600.0, 30.0)),
    ],
)
def test_a_fault_is_written_in_one_word(text: str, fault: Fault) -> None:
    assert parse_faults(text) == (fault,)
    assert parse_faults(f"{text}, lose:1@1s") == (fault, Lose(1, 1.0))


@pytest.mark.parametrize(
    "text",
    [
        *("", "lose", "lose:x@1s", "lose:-1@1s", "lose:all@1s", "lose:1", "lose:1@soon", "lose:1@1s:0s", "lose:1@1s,"),
        *("slow:1@1s:2s", "slow:1@1s:2s:0", "slow:1@1s:2s:nan", "restart:all@1s", "melt:1@1s"),
    ],
)
def test_what_is_no_fault_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"names no fault .*: write lose:3@10m"):
        parse_faults(text)


def test_a_fault_of_a_replica_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match="there is no replica 3: give 0 to 2"):
        with_faults("lose:3@1s")
