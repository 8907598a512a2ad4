"""Points and rules: what a run at one rate comes to, and whether a replica carries that rate."""

from collections.abc import Sequence

import pytest
from niyama_core.slo import Batch, Interactive, Promise
from niyama_eval.goodput import RULES, Point, backlog_growth, measure_point, run_length
from niyama_eval.outcomes import OutcomeState, Relegation, RequestOutcome
from niyama_eval.workloads import WorkloadRequest

CHAT = Promise("chat", Interactive(ttft=6.0, tbt=0.05))
JOB = Promise("summarise", Batch(ttlt=600.0))

GOOD = Point({"chat": 0.01, "summarise": 0.0}, late_tokens=0.001, backlog_growth=0.01)


def ended(
    arrival: float = 0.0,
    *,
    emitted: Sequence[float] = (1.0,),
    promise: Promise = JOB,
    state: OutcomeState = OutcomeState.COMPLETED,
    relegation: Relegation = Relegation.NONE,
) -> RequestOutcome:
    asked = WorkloadRequest("request", arrival, 999, 1, promise, "office")
    return RequestOutcome.of(asked, state, emitted=emitted, relegation=relegation)


def served_one_by_one(*, gap: float, service: float, num: int = 2000) -> list[RequestOutcome]:
    """Arrivals at a steady rate, at a server that takes one after the other."""
    free, outcomes = 0.0, []
    for index in range(num):
        free = max(free, index * gap) + service
        outcomes.append(ended(index * gap, emitted=(free - index * gap,)))
    return outcomes


def test_one_per_cent_in_every_class_passes_both_rules() -> None:
    assert [rule(GOOD) for rule in RULES.values()] == [(), ()]


def test_one_class_above_one_per_cent_fails_both_and_is_named() -> None:
    point = Point({"chat": 0.0, "summarise": 0.02}, late_tokens=0.0, backlog_growth=0.0)
    for rule in RULES.values():
        assert rule(point) == ("summarise violates 2.00%",)


@pytest.mark.parametrize(("late_tokens", "growth", "word"), [(0.002, 0.0, "tokens are late"), (0.0, 0.02, "stays")])
def test_the_strict_rule_alone_asks_for_steady_streams_and_a_steady_backlog(
    late_tokens: float, growth: float, word: str
) -> None:
    point = Point({"chat": 0.0}, late_tokens, growth)
    assert RULES["published"](point) == ()
    (reason,) = RULES["strict"](point)
    assert word in reason


def test_violations_are_counted_by_class_and_unfinished_requests_among_them() -> None:
    outcomes = [
        *(ended(promise=CHAT) for _ in range(3)),
        ended(promise=CHAT, emitted=(7.0,)),
        ended(promise=JOB, emitted=(), state=OutcomeState.REJECTED),
    ]
    assert measure_point(outcomes).violations == {"chat": 0.25, "summarise": 1.0}


def test_late_tokens_are_those_of_interactive_requests_not_relegated_before_their_first() -> None:
    stuttering = (1.0, 9.0)
    outcomes = [
        ended(promise=CHAT, emitted=stuttering),
        ended(promise=CHAT, emitted=stuttering, relegation=Relegation.AFTER_FIRST_TOKEN),
        ended(promise=CHAT, emitted=stuttering, relegation=Relegation.BEFORE_FIRST_TOKEN),
        ended(promise=JOB, emitted=stuttering),
    ]
    assert measure_point(outcomes).late_tokens == 0.5


def test_a_backlog_is_steady_while_all_that_arrives_is_carried() -> None:
    assert backlog_growth(served_one_by_one(gap=1.0, service=0.99)) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("overload", [0.02, 0.1, 1.0])
def test_a_backlog_grows_by_the_share_of_the_load_that_is_not_carried(overload: float) -> None:
    carried = 1 / (1 + overload)
    growth = backlog_growth(served_one_by_one(gap=1.0, service=1 + overload))
    assert growth == pytest.approx(1 - carried, abs=0.005)


def test_what_was_refused_is_no_backlog_and_what_was_lost_stays_one() -> None:
    refused = [ended(float(at), emitted=(), state=OutcomeState.REJECTED) for at in range(100)]
    lost = [ended(float(at), emitted=(), state=OutcomeState.LOST) for at in range(100)]
    assert backlog_growth(refused) == 0.0
    assert backlog_growth(lost) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("outcomes", [[], [ended()], [ended(), ended()]])
def test_too_few_requests_have_no_growing_backlog(outcomes: list[RequestOutcome]) -> None:
    assert backlog_growth(outcomes) == 0.0


def test_runs_are_as_long_as_the_published_ones_and_mixtures_as_their_longest() -> None:
    assert run_length(["sharegpt"]) == 18_000
    assert run_length(["sharegpt", "azure-code-2024"]) == 39_000
    assert run_length(["my-trace.csv"]) == 42_000
