"""Durations as people write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.units import DurationError, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("50ms", 0.05),
        ("6s", 6.0),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("0.5s", 0.5),
        ("2d", 172800.0),
        (" 1 h ", 3600.0),
    ],
)
def test_a_duration_is_a_number_with_a_unit_or_a_run_of_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "6", "s", "-6s", "6 parsecs", "1e3s", "nan", "6s later", ".5s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DurationError, match="for example 50ms"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.05, "50ms"),
        (6.0, "6s"),
        (600.0, "10m"),
        (90.0, "90s"),
        (7200.0, "2h"),
        (0.0, "0s"),
        (-1.5, "-1.5s"),
        (math.inf, "inf"),
    ],
)
def test_a_duration_is_written_with_the_unit_that_fits(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(1e-6, 1e6))
def test_what_is_written_reads_back_to_three_digits(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=6e-3)
