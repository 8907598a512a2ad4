"""The search for the highest rate that passes, on machines whose capacity is known."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_eval.goodput_search import Grid, Interval, SearchError, search

GRID = Grid(0.01)


def searched(passes: Callable[[float], bool], *, estimate: float) -> tuple[float, list[float]]:
    """Return what is found on a machine, and the rates that were tried."""
    steps, tried = search(GRID.step(estimate), farthest=GRID.farthest), []
    at = next(steps)
    while True:
        tried.append(GRID.qps(at))
        try:
            at = steps.send(passes(GRID.qps(at)))
        except StopIteration as end:
            return GRID.qps(end.value), tried


@given(capacity=st.floats(0.05, 50.0), off_by=st.floats(0.1, 10.0))
def test_the_highest_rate_within_capacity_is_found_to_one_step(capacity: float, off_by: float) -> None:
    found, _ = searched(lambda qps: qps <= capacity, estimate=capacity * off_by)
    assert found <= capacity < found * 1.0101


@given(capacity=st.floats(0.05, 50.0), one=st.floats(0.1, 10.0), other=st.floats(0.1, 10.0))
def test_where_a_search_begins_does_not_change_what_it_finds(capacity: float, one: float, other: float) -> None:
    found = {searched(lambda qps: qps <= capacity, estimate=capacity * off_by)[0] for off_by in (one, other)}
    assert len(found) == 1


def test_no_rate_is_tried_twice_and_a_good_guess_needs_few() -> None:
    _, tried = searched(lambda qps: qps <= 3.75, estimate=3.8)
    assert len(set(tried)) == len(tried) <= 5


def test_what_is_found_passes_and_the_next_fails_even_on_a_fickle_machine() -> None:
    def is_fickle(qps: float) -> bool:
        return qps < 3.0 or (qps < 4.0 and GRID.step(qps) % 3 > 0)

    found, _ = searched(is_fickle, estimate=3.5)
    assert is_fickle(found)
    assert not is_fickle(GRID.qps(GRID.step(found) + 1))


def test_a_machine_that_carries_everything_is_told_from_one_that_carries_nothing() -> None:
    with pytest.raises(SearchError, match="give more requests"):
        searched(lambda qps: True, estimate=1.0)
    with pytest.raises(SearchError, match="no rate passes"):
        searched(lambda qps: False, estimate=1.0)


def test_a_step_and_its_rate_are_the_same_place() -> None:
    assert all(GRID.step(GRID.qps(step)) == step for step in range(-300, 300))
    assert GRID.qps(1) / GRID.qps(0) == pytest.approx(1.01)


def test_the_interval_over_seeds_is_that_of_student() -> None:
    interval = Interval.of([5.0, 6.0, 7.0])
    assert interval.mean == 6.0
    assert interval.ci == pytest.approx((6 - 4.303 / math.sqrt(3), 6 + 4.303 / math.sqrt(3)))


def test_no_rate_is_negative() -> None:
    assert Interval.of([1.0, 3.0]).low == 0.0


def test_a_single_seed_has_no_interval() -> None:
    assert Interval.of([3.7]).ci is None


def test_more_seeds_never_widen_the_quantile() -> None:
    reaches = [(Interval.of([0.0, 1.0] * num).high or 0.0) - 0.5 for num in range(1, 80)]
    assert reaches == sorted(reaches, reverse=True)
