"""Quotes hold as often as they say, also while the slow requests have not ended."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.placement_estimate import Forecast
from niyama_core.quotes import Course, Factor, ForecastRecord, ForecastRecords, Measure, Quote, quote
from niyama_core.slo import Batch, Importance, Interactive, Promise, Slo


def a_course(
    ttft: float | None = 1.0,
    *,
    forecast: float = 1.0,
    elapsed: float = 3.0,
    num_output_tokens: int = 10,
    is_whole: bool = True,
) -> Course:
    return Course(
        forecast=Forecast(forecast, 0.1),
        expected_output_tokens=20,
        elapsed=elapsed,
        ttft=ttft,
        num_output_tokens=num_output_tokens,
        is_whole=is_whole,
    )


def a_record(*courses: Course) -> ForecastRecord:
    record = ForecastRecord()
    for course in courses:
        record.add(course)
    return record


def test_a_forecast_that_nothing_is_known_of_is_quoted_as_it_is_without_confidence() -> None:
    factor = ForecastRecord().factor(Measure.TTFT, 0.95, still_open=[])
    assert factor == Factor(1.0, 0.0)
    assert factor.applied_to(2.5) == 2.5


def test_each_measure_has_its_own_errors() -> None:
    course = a_course(ttft=2.0, elapsed=6.0)
    assert course.error(Measure.TTFT) == (2.0, True)
    assert course.error(Measure.TTLT) == (6.0 / 3.0, True)
    assert course.error(Measure.TTLT_OF_LENGTH) == (6.0 / 2.0, True)


def test_a_request_that_is_open_takes_at_least_as_long_as_it_has() -> None:
    waits = a_course(ttft=None, elapsed=4.0, num_output_tokens=0, is_whole=False)
    assert waits.error(Measure.TTFT) == (4.0, False)
    assert waits.error(Measure.TTLT) == (4.0 / 3.0, False)
    decodes = a_course(ttft=2.0, elapsed=4.0, num_output_tokens=30, is_whole=False)
    assert decodes.error(Measure.TTFT) == (2.0, True)
    assert decodes.error(Measure.TTLT_OF_LENGTH) == (4.0 / 4.0, False)


def test_few_answers_are_worth_less_confidence_than_was_asked_for() -> None:
    record = a_record(*[a_course(ttft=float(number)) for number in (1, 2, 3)])
    assert record.factor(Measure.TTFT, 0.95, still_open=[]) == Factor(3.0, 0.75)
    assert record.factor(Measure.TTFT, 0.5, still_open=[]) == Factor(2.0, 0.5)


def test_the_factor_is_the_conformal_quantile() -> None:
    record = a_record(*[a_course(ttft=float(number)) for number in range(1, 100)])
    assert record.factor(Measure.TTFT, 0.95, still_open=[]) == Factor(95.0, 0.95)


def test_nothing_is_promised_while_too_many_wait_for_longer_than_any_was_seen_to() -> None:
    record = a_record(*[a_course() for _ in range(80)])
    waiting = [a_course(ttft=None, elapsed=60.0, num_output_tokens=0, is_whole=False) for _ in range(20)]
    factor = record.factor(Measure.TTFT, 0.95, still_open=waiting)
    assert (factor.value, factor.applied_to(1.0)) == (None, None)
    assert record.factor(Measure.TTFT, 0.5, still_open=waiting) == Factor(1.0, 0.5)


def test_what_is_long_ago_is_forgotten() -> None:
    record = a_record(*[a_course(ttft=9.0) for _ in range(100)], *[a_course(ttft=1.0) for _ in range(512)])
    assert record.factor(Measure.TTFT, 0.99, still_open=[]) == Factor(1.0, 0.99)


def test_requests_of_low_importance_have_a_record_of_their_own() -> None:
    records = ForecastRecords()
    high, low = (Promise("chat", Interactive(1.0, 0.05), importance) for importance in Importance)
    records.of(low).add(a_course(ttft=9.0))
    assert records.of(high).factor(Measure.TTFT, 0.95, still_open=[]).confidence == 0.0
    assert records.of(low).factor(Measure.TTFT, 0.95, still_open=[]).value == 9.0


@given(
    st.lists(st.tuples(st.floats(0.01, 100.0), st.booleans()), min_size=1, max_size=60),
    st.floats(0.05, 0.98),
    st.floats(0.05, 0.98),
)
def test_more_confidence_never_promises_less_time(seen: list[tuple[float, bool]], one: float, other: float) -> None:
    record = a_record(*[a_course(ttft=error if known else None, elapsed=error) for error, known in seen])
    less, more = (record.factor(Measure.TTFT, confidence, still_open=[]) for confidence in sorted((one, other)))
    if more.value is not None:
        assert less.value is not None
        assert less.value <= more.value


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95])
def test_quotes_hold_as_often_as_they_say(confidence: float) -> None:
    rng = random.Random(1)
    record, held, asked = ForecastRecord(), 0, 4000
    for _ in range(asked):
        took = rng.lognormvariate(0.5, 0.8)
        factor = record.factor(Measure.TTFT, confidence, still_open=[])
        held += factor.value is not None and took <= factor.value
        record.add(a_course(ttft=took))
    assert held / asked == pytest.approx(confidence, abs=0.02)


def test_quotes_hold_while_the_slow_are_open_which_those_that_ended_do_not_know_of() -> None:
    """One request a second; most take a second, every fifth a hundred: at any time nearly all the slow are open."""
    rng = random.Random(1)
    record, open_until, held, asked = ForecastRecord(), list[tuple[int, float]](), 0, 1500
    for now in range(asked):
        for arrival, took in [one for one in open_until if one[0] + one[1] <= now]:
            open_until.remove((arrival, took))
            record.add(a_course(ttft=took))
        waiting = [a_course(ttft=None, elapsed=now - arrival, is_whole=False) for arrival, _ in open_until]
        factor = record.factor(Measure.TTFT, 0.9, still_open=waiting)
        took = rng.uniform(0.5, 1.5) * (100 if rng.random() < 0.2 else 1)
        held += factor.value is None or took <= factor.value
        open_until.append((now, took))
    assert held / asked >= 0.88


@pytest.mark.parametrize(
    ("slo", "keeps"),
    [(Interactive(2.0, 0.05), True), (Interactive(1.9, 0.05), False), (Batch(6.0), True), (Batch(5.9), False)],
)
def test_a_promise_is_kept_when_what_is_quoted_of_its_measure_is_within_it(slo: Slo, keeps: bool) -> None:
    quoted = quote(
        Promise("any", slo), Forecast(1.0, 0.1), num_output_tokens=10, ttft=Factor(2.0, 0.95), ttlt=Factor(3.0, 0.9)
    )
    assert quoted == Quote(ttft=2.0, ttlt=6.0, confidence=0.9, keeps_promise=keeps)


def test_a_promise_of_which_nothing_can_be_said_is_not_kept() -> None:
    promise = Promise("chat", Interactive(1e9, 0.05))
    quoted = quote(promise, Forecast(1.0, 0.1), num_output_tokens=10, ttft=Factor(None, 0.95), ttlt=Factor(None, 0.95))
    assert (quoted.ttft, quoted.ttlt, quoted.keeps_promise) == (None, None, False)
