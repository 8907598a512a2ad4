"""How much time other work may take before an important request is late."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.demand import DemandCurve
from niyama_core.request import LiveRequest

from tests.builders import a_batch_request, a_live_request, a_request

RATE = 1000.0

lives = st.builds(
    lambda batch, promised, arrival, prompt, decode: a_live_request(
        a_batch_request(ttlt=promised, arrival=arrival, prompt=prompt)
        if batch
        else a_request(ttft=promised, arrival=arrival, prompt=prompt),
        decode_seconds=decode,
    ),
    st.booleans(),
    st.floats(0.05, 2000),
    st.floats(0, 100),
    st.integers(1, 20_000),
    st.floats(0, 20),
)
workloads = st.lists(lives, max_size=20)


def a_curve(work: list[LiveRequest]) -> DemandCurve:
    curve = DemandCurve()
    for live in work:
        curve.add(live, live.prefill_remaining)
    return curve


def bucket_seconds(live: LiveRequest) -> float:
    return (live.due - live.request.arrival) / 32


def walked_margin(work: list[LiveRequest], now: float) -> float:
    """Serve all in order of due time and take the least time to spare."""
    margin, clock = math.inf, now
    for live in sorted(work, key=lambda live: live.prefill_due):
        clock += live.prefill_remaining / RATE
        margin = min(margin, live.prefill_due - clock)
    return margin


@given(workloads)
def test_the_margin_is_that_of_serving_all_by_due_time_to_a_thirty_second_of_the_promise(
    work: list[LiveRequest],
) -> None:
    now = min((live.prefill_due - bucket_seconds(live) for live in work), default=0.0)
    margin, exact = a_curve(work).margin(now, RATE), walked_margin(work, now)
    coarsest = max(map(bucket_seconds, work), default=0.0)
    assert margin <= exact + 1e-6
    assert margin >= exact - coarsest - 1e-6 or margin == exact


@given(workloads)
def test_work_that_is_taken_back_leaves_no_trace(work: list[LiveRequest]) -> None:
    curve = a_curve(work)
    for live in work:
        curve.add(live, -live.prefill_remaining)
    assert curve.margin(-1e9, RATE) == math.inf


@given(workloads, lives)
def test_more_work_never_leaves_more_time(work: list[LiveRequest], more: LiveRequest) -> None:
    assert a_curve([*work, more]).margin(0.0, RATE) <= a_curve(work).margin(0.0, RATE)


def test_without_work_there_is_all_the_time_in_the_world() -> None:
    assert DemandCurve().margin(0.0, RATE) == math.inf


def test_one_request_leaves_what_its_prefill_does_not_need() -> None:
    curve = a_curve([a_live_request(a_request(ttft=6.4, prompt=2000))])
    assert curve.margin(0.0, RATE) == pytest.approx(6.4 - 2.0, abs=6.4 / 32)


def test_what_is_late_already_cannot_be_saved_and_does_not_count() -> None:
    late = a_live_request(a_request(ttft=1.0, prompt=10_000))
    in_time = a_live_request(a_request(ttft=64.0, prompt=1000))
    assert a_curve([late, in_time]).margin(2.0, RATE) == pytest.approx(61.0, abs=2.0)


def test_the_answer_follows_what_comes_and_goes() -> None:
    curve, live = DemandCurve(), a_live_request(a_request(ttft=64.0))
    assert curve.margin(0.0, RATE) == math.inf
    curve.add(live, 1000)
    assert curve.margin(0.0, RATE) == pytest.approx(63.0, abs=2.0)
    assert curve.margin(10.0, RATE) == pytest.approx(53.0, abs=2.0)
    assert curve.margin(10.0, RATE / 10) == pytest.approx(44.0, abs=2.0)
    curve.add(live, -1000)
    assert curve.margin(10.0, RATE / 10) == math.inf


def test_a_part_that_was_computed_is_no_demand() -> None:
    live = a_live_request(a_request(ttft=64.0, prompt=10_000))
    curve = a_curve([live])
    curve.add(live, -9_000)
    assert curve.margin(0.0, RATE) == pytest.approx(63.0, abs=2.0)
