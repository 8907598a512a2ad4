"""In which order each policy serves."""

import pytest
from niyama_core.policies import POLICIES, SchedulerSettings, build_policy
from niyama_core.priority import DeadlineFirst, Hybrid, LatestPrefill, ShortestRemainingPrefill
from niyama_core.request import LiveRequest

from tests.builders import A100, a_batch_request, a_live_request, a_planner, a_request


def order(policy: str, lives: list[LiveRequest]) -> list[str]:
    key = build_policy(SchedulerSettings(policy), A100.predictor).priority.key
    return [live.request.request_id for live in sorted(lives, key=key)]


def three_requests() -> list[LiveRequest]:
    """Each is first by another measure: arrival, deadline, length of prompt, length of all."""
    return [
        a_live_request(a_batch_request("first", arrival=0.0, ttlt=600, prompt=3000), expected_output=50),
        a_live_request(a_request("urgent", arrival=1.0, ttft=6.0, prompt=4000), expected_output=10),
        a_live_request(a_batch_request("short prompt", arrival=2.0, ttlt=900, prompt=100), expected_output=3000),
        a_live_request(a_batch_request("short job", arrival=3.0, ttlt=700, prompt=200), expected_output=100),
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("sarathi-fcfs", ["first", "urgent", "short prompt", "short job"]),
        ("sarathi-edf", ["urgent", "first", "short job", "short prompt"]),
        ("sarathi-srpf", ["short prompt", "short job", "first", "urgent"]),
        ("sarathi-sjf", ["short job", "first", "short prompt", "urgent"]),
        ("qoserve", ["urgent", "first", "short job", "short prompt"]),
        ("niyama", ["urgent", "first", "short job", "short prompt"]),
    ],
)
def test_each_policy_has_its_order(policy: str, expected: list[str]) -> None:
    assert order(policy, three_requests()) == expected


def test_without_alpha_the_hybrid_is_earliest_deadline_first() -> None:
    for live in three_requests():
        assert Hybrid(0.0).key(live) == DeadlineFirst().key(live)


def test_with_a_large_alpha_the_hybrid_is_shortest_remaining_prefill_among_interactive_requests() -> None:
    lives = [a_live_request(a_request(f"r{i}", ttft=6.0 + i, prompt=5000 - i)) for i in range(5)]
    by_hybrid = sorted(lives, key=Hybrid(1e6).key)
    assert by_hybrid == sorted(lives, key=ShortestRemainingPrefill().key)


def test_the_published_order_is_nearly_shortest_first_inside_a_class() -> None:
    earlier_long = a_live_request(a_request("long", arrival=0.0, prompt=4000))
    later_short = a_live_request(a_request("short", arrival=20.0, prompt=1000))
    assert order("qoserve", [earlier_long, later_short]) == ["short", "long"]


def test_a_long_answer_puts_a_batch_request_off_by_the_published_rule_and_forward_by_ours() -> None:
    def keys(output: int) -> tuple[float, float]:
        live = a_live_request(a_batch_request(), expected_output=output, decode_seconds=0.05 * output)
        return Hybrid(0.008).key(live), LatestPrefill(0.0005).key(live)

    (hybrid_short, ours_short), (hybrid_long, ours_long) = keys(10), keys(1000)
    assert hybrid_long > hybrid_short
    assert ours_long < ours_short


@pytest.mark.parametrize("policy", POLICIES)
def test_plans_follow_the_order_of_the_policy(policy: str) -> None:
    lives = three_requests()
    planner = a_planner(policy, token_budget=10_000)
    for live in lives:
        planner.admit(live.request)
    chunks = planner.plan(4.0, kv_free_tokens=100_000).chunks
    served = [chunk.request_id for chunk in chunks]
    # The planner expects 128 tokens of every answer.
    assumed = [
        a_live_request(live.request, expected_output=128, decode_seconds=128 * planner.rates.iteration_time)
        for live in lives
    ]
    assert served == order(policy, assumed)[: len(served)]


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'fifo' is unknown: choose one of niyama, qoserve"):
        build_policy(SchedulerSettings("fifo"), A100.predictor)


@pytest.mark.parametrize("policy", ["niyama", "qoserve"])
def test_on_a_machine_twice_as_fast_a_token_of_work_puts_a_request_off_by_half(policy: str) -> None:
    at_home = build_policy(SchedulerSettings(policy, alpha=0.004), A100.predictor)
    live = a_live_request(a_request(prompt=1000))
    put_off, put_off_less = (p.priority.key(live) - live.due for p in (at_home, at_home.at_speed(2.0)))
    assert put_off_less == pytest.approx(put_off / 2)


def test_an_order_that_weighs_no_work_is_the_same_at_any_speed() -> None:
    edf = build_policy(SchedulerSettings("sarathi-edf"), A100.predictor)
    assert edf.at_speed(2.0) == edf
