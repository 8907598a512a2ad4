"""What a replica has measured of its own speed."""

import pytest
from niyama_core.rates import MeasuredRates

from tests.builders import A100, SteadyLaw


def test_before_anything_is_measured_the_predictor_is_believed() -> None:
    rates = MeasuredRates(A100.predictor)
    assert 7_000 < rates.prefill_rate < 11_000
    assert 0.02 < rates.iteration_time < 0.1


def test_measurements_take_over() -> None:
    rates = MeasuredRates(SteadyLaw())
    for _ in range(500):
        rates.observe(2000, 0.5, budget_spent=True)
    assert rates.prefill_rate == pytest.approx(4000, rel=0.01)
    assert rates.iteration_time == pytest.approx(0.5, rel=0.01)


def test_an_iteration_that_ran_out_of_work_says_nothing_of_the_rate_under_load() -> None:
    rates = MeasuredRates(SteadyLaw())
    before = rates.prefill_rate
    rates.observe(10, 0.5, budget_spent=False)
    rates.observe(0, 0.5, budget_spent=True)
    assert rates.prefill_rate == before


def test_a_clock_that_stood_still_measures_nothing() -> None:
    rates = MeasuredRates(SteadyLaw())
    before = (rates.prefill_rate, rates.iteration_time)
    rates.observe(1000, 0.0, budget_spent=True)
    assert (rates.prefill_rate, rates.iteration_time) == before
