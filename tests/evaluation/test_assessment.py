"""What traffic looks like."""

import numpy as np
import pytest
from niyama_eval.assessment import LONG_PROMPT_TOKENS, Assessment, RateFacts, assess, observed, rate_curve
from niyama_eval.sources import load_source
from niyama_eval.traces import Trace
from numpy.typing import ArrayLike


def a_trace(arrivals: ArrayLike | None, prompts: ArrayLike | None = None, outputs: ArrayLike | None = None) -> Trace:
    times = None if arrivals is None else np.asarray(arrivals, np.float64)
    num = len(times) if times is not None else len(np.asarray(prompts))
    columns = (np.full(num, 100) if tokens is None else np.asarray(tokens, np.int64) for tokens in (prompts, outputs))
    return Trace("office", times, *columns)


def rates_of(arrivals: ArrayLike) -> RateFacts:
    rates = assess(a_trace(arrivals)).rates
    assert rates is not None
    return rates


def test_poisson_arrivals_have_a_burstiness_of_one_at_every_window() -> None:
    arrivals = np.cumsum(np.random.default_rng(1).exponential(0.1, 70_000))
    rates = rates_of(arrivals)
    assert rates.mean_qps == pytest.approx(10, rel=0.02)
    assert list(rates.dispersion) == [1.0, 10.0, 60.0, 600.0]
    assert rates.dispersion[1.0] == pytest.approx(1, abs=0.1)
    assert rates.dispersion[60.0] == pytest.approx(1, abs=0.35)


def test_regular_arrivals_have_none_and_their_peak_is_their_mean() -> None:
    rates = rates_of(np.arange(0, 300, 0.5))
    assert rates.dispersion[10.0] == pytest.approx(0, abs=1e-9)
    assert rates.peak_to_mean(60.0) == pytest.approx(1)
    assert rates.median_gap_s == pytest.approx(0.5)


def test_bunches_are_bursts_and_their_peak_stands_out() -> None:
    rates = rates_of(np.sort(np.concatenate([np.arange(0, 600, 10.0)] * 20)))
    assert rates.peak_qps[1.0] == 20
    assert rates.dispersion[1.0] > 10
    assert rates.at_once == pytest.approx(0.95, abs=0.01)


def test_a_window_that_the_traffic_holds_too_few_of_has_no_burstiness() -> None:
    rates = rates_of(np.arange(0, 30, 0.5))
    assert list(rates.dispersion) == [1.0]
    assert list(rates.peak_qps) == [1.0, 10.0]


def test_a_daily_pattern_needs_a_day() -> None:
    hours = np.arange(48)
    busy = np.concatenate([hour * 3600 + np.linspace(0, 3599, 60 if hour % 24 < 12 else 20) for hour in hours])
    rates = rates_of(np.append(busy, 48 * 3600.0))
    assert rates.busiest_hour == pytest.approx(60 / 3600)
    assert rates.calmest_hour == pytest.approx(20 / 3600)
    assert rates_of(busy[: len(busy) // 4]).busiest_hour is None


@pytest.mark.parametrize("arrivals", [None, [0.0], [0.0, 0.0]])
def test_what_has_no_duration_has_no_rates(arrivals: list[float] | None) -> None:
    assert assess(a_trace(arrivals, prompts=None if arrivals else [1, 2])).rates is None


def test_rank_correlation_sees_order_and_not_size() -> None:
    def correlation(prompts: list[int], outputs: list[int]) -> float | None:
        return assess(a_trace(None, prompts, outputs)).rank_correlation

    assert correlation([1, 2, 3, 4], [1, 10, 100, 1000]) == pytest.approx(1)
    assert correlation([1, 2, 3, 4], [9, 7, 5, 3]) == pytest.approx(-1)
    assert correlation([1, 1, 2, 2], [5, 5, 5, 9]) == pytest.approx(0.5774, abs=1e-3)
    assert correlation([7, 7, 7], [1, 2, 3]) is None


def test_long_prompts_are_counted_with_the_work_that_they_bring() -> None:
    facts = assess(a_trace(None, [LONG_PROMPT_TOKENS + 1, 100, 100, LONG_PROMPT_TOKENS], [0, 0, 0, 0]))
    assert facts.long_prompts == 0.25
    assert facts.long_work == pytest.approx(0.49, abs=0.01)


def test_shipped_figures_are_observed_once_through() -> None:
    def facts(name: str) -> Assessment:
        return assess(observed(load_source(name)))

    code, sharegpt = facts("azure-code-2023"), facts("sharegpt")
    assert code.num_requests == pytest.approx(8_819, rel=0.05)
    assert code.rates is not None
    assert code.rates.dispersion[10.0] > 10
    assert sharegpt.rates is None
    assert sharegpt.prompts.p50 == pytest.approx(1_730, rel=0.05)


def test_the_curve_of_rates_counts_every_request_once() -> None:
    edges, rates = rate_curve(np.array([0.0, 1.0, 9.0, 10.0]), num_bins=5)
    assert (rates * np.diff(edges)).sum() == pytest.approx(4)
