"""When requests arrive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_eval.arrivals import Diurnal, Poisson, RateCurve, Replayed, Times, Until, draw_arrivals, parse_arrivals
from niyama_eval.errors import WorkloadError

rates = st.lists(st.floats(0, 50), min_size=1, max_size=8).filter(lambda r: sum(r) > 0.5)


def draw(curve: RateCurve, until: Until, *, seed: int = 1, start: float = 0.0, gap_cap: float | None = None) -> Times:
    return draw_arrivals(curve, until, rng=np.random.default_rng(seed), start=start, gap_cap=gap_cap)


def test_poisson_gaps_have_the_mean_and_the_spread_of_the_law() -> None:
    gaps = np.diff(draw(RateCurve(1.0, (4.0,)), Until(num=100_000)))
    assert gaps.mean() == pytest.approx(0.25, rel=0.02)
    assert gaps.std() == pytest.approx(0.25, rel=0.02)


def test_a_cap_bounds_every_gap_in_mean_gaps() -> None:
    capped = np.diff(draw(RateCurve(1.0, (4.0,)), Until(num=20_000), gap_cap=2.0))
    assert capped.max() == pytest.approx(0.5)
    assert np.diff(draw(RateCurve(1.0, (4.0,)), Until(num=20_000))).max() > 1.0


def test_the_same_seed_at_twice_the_rate_gives_the_same_bursts_in_half_the_time() -> None:
    slow, fast = (draw(RateCurve(1.0, (qps,)), Until(num=500)) for qps in (3.0, 6.0))
    assert slow == pytest.approx(2 * fast)


def test_arrivals_follow_the_curve_and_begin_again_after_it() -> None:
    times = draw(RateCurve(10.0, (0.0, 30.0, 5.0)), Until(seconds=60.0))
    counts = np.histogram(times, np.arange(0, 70, 10))[0]
    assert counts[[0, 3]].tolist() == [0, 0]
    assert counts[[1, 4]] == pytest.approx([300, 300], abs=60)
    assert counts[[2, 5]] == pytest.approx([50, 50], abs=25)


def test_a_start_within_the_curve_begins_there() -> None:
    times = draw(RateCurve(10.0, (0.0, 30.0)), Until(seconds=20.0), start=10.0)
    assert times.min() < 1.0
    assert times.max() < 10.0


@given(rates, st.floats(0, 100), st.floats(0, 40))
def test_times_and_counts_of_a_curve_are_each_others_inverse(bins: list[float], count: float, start: float) -> None:
    curve = RateCurve(2.0, tuple(bins))
    assert curve.count(float(curve.times(np.array([count]))[0])) == pytest.approx(count, abs=1e-6)
    assert curve.count(start) <= curve.count(start + 1.0) + 1e-9


@given(rates, st.integers(0, 2**32), st.integers(1, 80), st.integers(0, 80))
def test_a_longer_run_begins_with_the_shorter_one(bins: list[float], seed: int, num: int, more: int) -> None:
    curve = RateCurve(2.0, tuple(bins))
    longer = draw(curve, Until(num=num + more), seed=seed)
    assert draw(curve, Until(num=num), seed=seed).tolist() == longer[:num].tolist()
    assert np.all(np.diff(longer) >= 0)
    up_to_the_end = draw(curve, Until(seconds=float(longer[-1])), seed=seed)
    assert up_to_the_end.tolist() == longer[: len(up_to_the_end)].tolist()
    assert all(up_to_the_end < longer[-1])


@pytest.mark.parametrize(
    ("text", "arrivals"),
    [
        ("poisson", Poisson()),
        ("poisson:8", Poisson(gap_cap=8.0)),
        ("trace", Replayed()),
        ("trace:600", Replayed(start=600.0)),
        ("diurnal:2,5,900", Diurnal((2.0, 5.0), 900.0)),
    ],
)
def test_arrivals_are_named_as_on_the_command_line(text: str, arrivals: object) -> None:
    assert parse_arrivals(text) == arrivals


@pytest.mark.parametrize("text", ["", "uniform", "diurnal", "diurnal:900", "poisson:a", "poisson:1,2", "trace:1,2"])
def test_a_text_that_names_no_arrivals_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(WorkloadError, match=r"write poisson, .*diurnal:2,5,900") as caught:
        parse_arrivals(text)
    assert caught.value.field == "arrivals"
