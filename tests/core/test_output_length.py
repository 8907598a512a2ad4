"""How long answers are expected to be."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.output_length import OutputLengthHistory

NO_CAP = 10**9


def a_history(lengths: list[int], app: str = "app") -> OutputLengthHistory:
    history = OutputLengthHistory()
    for length in lengths:
        history.record(app, length)
    return history


def test_without_a_history_the_prior_is_expected() -> None:
    assert OutputLengthHistory(prior_tokens=77).expected("app", NO_CAP) == 77


def test_a_few_answers_are_no_history() -> None:
    assert a_history([1000] * 7).expected("app", NO_CAP) == 128
    assert a_history([1000] * 8).expected("app", NO_CAP) == 1000


def test_an_application_without_a_history_borrows_that_of_all() -> None:
    assert a_history([300] * 20, app="known").expected("unknown", NO_CAP) == 300


def test_applications_have_histories_of_their_own() -> None:
    history = a_history([10] * 20, app="short")
    for _ in range(20):
        history.record("long", 900)
    assert history.expected("short", NO_CAP) == 10
    assert history.expected("long", NO_CAP) == 900


def test_no_more_is_expected_than_the_request_allows() -> None:
    assert a_history([1000] * 10).expected("app", 50) == 50


def test_at_least_one_token_is_expected() -> None:
    assert a_history([0] * 10).expected("app", NO_CAP) == 1


@given(st.lists(st.integers(1, 5000), min_size=8, max_size=200))
def test_the_estimate_is_mean_plus_two_standard_deviations(lengths: list[int]) -> None:
    exact = statistics.fmean(lengths) + 2 * statistics.pstdev(lengths)
    assert a_history(lengths).expected("app", NO_CAP) == pytest.approx(math.ceil(exact), abs=1)


def test_a_change_of_habit_is_learned_within_some_thousand_answers() -> None:
    assert a_history([1000] * 5000 + [10] * 8000).expected("app", NO_CAP) < 60


def test_names_of_applications_that_clients_make_up_do_not_pile_up() -> None:
    history = a_history([10] * 20, app="kept")
    for index in range(5000):
        history.record(f"made up {index}", 500)
        history.record("kept", 10)
    assert history.num_apps <= 1024
    assert history.expected("kept", NO_CAP) == 10
