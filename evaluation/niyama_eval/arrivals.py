"""When requests arrive: at random at a rate, at a rate that changes with time, or exactly as a trace says.

Every random process here is a Poisson process of unit rate, read through the inverse of the cumulative rate: the same
seed gives the same bursts at every rate, only closer together. Curves and traces begin again where they end.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niyama_eval.errors import WorkloadError

__all__ = [
    "Arrivals",
    "Diurnal",
    "Poisson",
    "RateCurve",
    "Replayed",
    "Times",
    "Until",
    "draw_arrivals",
    "parse_arrivals",
]

Times = NDArray[np.float64]

_HOW_TO_WRITE = "write poisson, poisson:8, trace, trace:600 or diurnal:2,5,900"


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent arrivals at one rate.

    Attributes:
        gap_cap: the longest gap between two arrivals, in mean gaps; the published artifact has 8, None is the pure law.
    """

    gap_cap: float | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """The times of the traces themselves, from `start` seconds into them."""

    start: float = 0.0


@dataclass(frozen=True, slots=True)
class Diurnal:
    """Poisson arrivals at each of `rates` (requests per second) in turn, `phase` seconds long each."""

    rates: tuple[float, ...]
    phase: float


Arrivals = Poisson | Replayed | Diurnal


@dataclass(frozen=True, slots=True)
class Until:
    """Where a stretch of arrivals ends: after `num` requests, or before `seconds`; exactly one is given."""

    num: int | None = None
    seconds: float | None = None

    def cut(self, times: Times) -> Times:
        """Return the times, which rise from 0, up to the end."""
        return times[: self.num] if self.seconds is None else times[: int(np.searchsorted(times, self.seconds))]


@dataclass(frozen=True, slots=True)
class RateCurve:
    """A rate that is constant within bins and begins again after the last.

    Attributes:
        bin_seconds: length of a bin.
        rates: requests per second in each bin; at least one is above 0.
    """

    bin_seconds: float
    rates: tuple[float, ...]

    @property
    def period(self) -> float:
        """Seconds after which the curve begins again."""
        return self.bin_seconds * len(self.rates)

    @property
    def mean(self) -> float:
        """Requests per second over the whole curve."""
        return sum(self.rates) / len(self.rates)

    def scaled(self, factor: float) -> "RateCurve":
        """Return the curve with every rate times `factor`."""
        return RateCurve(self.bin_seconds, tuple(rate * factor for rate in self.rates))

    def count(self, time: float) -> float:
        """Return how many requests are expected before `time`."""
        rounds, rest = divmod(time, self.period)
        return float(rounds * self._counts()[-1] + np.interp(rest, self._edges(), self._counts()))

    def times(self, counts: Times) -> Times:
        """Return the instants before which so many requests are expected: the inverse of `count`."""
        rounds, rest = np.divmod(counts, self._counts()[-1])
        return rounds * self.period + np.interp(rest, self._counts(), self._edges())

    def _edges(self) -> Times:
        return np.arange(len(self.rates) + 1, dtype=np.float64) * self.bin_seconds

    def _counts(self) -> Times:
        return np.concatenate([[0.0], np.cumsum(self.rates)]) * self.bin_seconds


def draw_arrivals(
    curve: RateCurve, until: Until, *, rng: np.random.Generator, start: float = 0.0, gap_cap: float | None = None
) -> Times:
    """Return random arrivals at the rates of `curve`, in seconds since `start` seconds into it.

    `gap_cap` bounds the gaps of the underlying process, in mean gaps.
    """
    before = curve.count(start)
    expected = until.num if until.seconds is None else curve.count(start + until.seconds) - before
    shares, times = np.zeros(0), np.zeros(0)
    while not _reaches(times, until):
        shares = np.concatenate([shares, rng.random(int(expected or 0) + 64)])
        gaps = -np.log1p(-shares)
        counts = np.cumsum(gaps if gap_cap is None else np.minimum(gaps, gap_cap))
        times = curve.times(before + counts) - start
    return until.cut(times)


def _reaches(times: Times, until: Until) -> bool:
    """Tell whether the arrivals drawn so far go to the end and beyond."""
    if until.seconds is None:
        return len(times) >= (until.num or 0)
    return len(times) > 0 and bool(times[-1] >= until.seconds)


def parse_arrivals(text: str) -> Arrivals:
    """Return the arrivals that `text` names, as the command line has them.

    `poisson`; `poisson:8` caps gaps at 8 means; `trace`; `trace:600` begins 600 s into it; `diurnal:2,5,900` is 2 and
    5 requests per second in turn, 900 s each.

    Raises:
        WorkloadError: `text` names none.
    """
    kind, _, rest = text.strip().partition(":")
    numbers = _numbers(rest)
    match kind, numbers:
        case "poisson", []:
            return Poisson()
        case "poisson", [cap]:
            return Poisson(cap)
        case "trace", []:
            return Replayed()
        case "trace", [start]:
            return Replayed(start)
        case "diurnal", [*rates, phase] if rates:
            return Diurnal(tuple(rates), phase)
    raise WorkloadError("arrivals", f"{text!r} names no arrivals", fix=_HOW_TO_WRITE)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise WorkloadError("arrivals", f"{text!r} is no list of numbers", fix=_HOW_TO_WRITE) from None
