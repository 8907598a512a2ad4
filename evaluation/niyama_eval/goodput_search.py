"""The search for the highest rate that passes, and what several seeds say of it together.

Rates are those of a fixed geometric grid, one step apart by the resolution. So a search is over whole numbers, two
searches ask for the same points where they can, and where a search begins decides how long it takes and nothing else.
"""

import math
import statistics
from collections.abc import Generator, Sequence
from dataclasses import dataclass

__all__ = ["Grid", "Interval", "NothingPassesError", "Search", "SearchError", "search", "student_t_95"]

_FIRST_STRIDE = 4
_FARTHEST = 64.0

# Two-sided 95 % of Student's t, by degrees of freedom from 1 on.
_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
# Beyond them, up to so many degrees, the quantile of the fewest.
_T_95_BEYOND = ((30, 2.228), (120, 2.042))
_T_95_FAR = 1.980


class SearchError(ValueError):
    """A search has no end: all rates pass, or none does."""


class NothingPassesError(SearchError):
    """No rate passes, however low."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The rates that are tried: (1 + resolution) to every whole power."""

    resolution: float = 0.01

    def qps(self, step: int) -> float:
        """Return the rate of a step."""
        return float(f"{(1 + self.resolution) ** step:.6g}")

    def step(self, qps: float) -> int:
        """Return the step whose rate is nearest."""
        return round(math.log(qps) / math.log1p(self.resolution))

    @property
    def farthest(self) -> int:
        """How many steps from where it began a search gives up: 64 times the rate, or a 64th of it."""
        return math.ceil(math.log(_FARTHEST) / math.log1p(self.resolution))


Search = Generator[int, bool, int]
"""Yields steps to try, is sent whether each passed, and returns the highest that did."""


def search(start: int, *, farthest: int) -> Search:
    """Search for the highest step that passes, from a guess.

    It goes up from a step that passes, or down from one that fails, by strides that double, until it has one of each;
    then it halves the steps between. Where passing is not monotone, the answer is a step that passes whose next fails.

    Raises:
        SearchError: every step passes that is not too far from the start, or none does.
    """
    passed = yield start
    low, high = (start, None) if passed else (None, start)
    stride = _FIRST_STRIDE
    while low is None or high is None:
        at = low + stride if low is not None else (high or 0) - stride
        if abs(at - start) > farthest:
            raise SearchError(_ENDLESS) if passed else NothingPassesError(_HOPELESS)
        if (yield at):
            low = at
        else:
            high = at
        stride *= 2
    while high - low > 1:
        at = (low + high) // 2
        if (yield at):
            low = at
        else:
            high = at
    return low


_ENDLESS = "every rate passes: the run is too short to show what is too much; give more requests"
_HOPELESS = (
    "no rate passes: the promises are tighter than an iteration of the policy, or the run is too short to judge its "
    "backlog"
)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds, with the 95 % confidence interval of Student's t; of a single seed there is none.

    Its lower end is not below zero where no value is: such values cannot be negative.
    """

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """Return the interval of one or more values."""
        mean = statistics.fmean(values)
        if len(values) < 2:
            return cls(mean, None, None)
        reach = student_t_95(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
        low = mean - reach
        return cls(mean, max(low, 0.0) if min(values) >= 0.0 else low, mean + reach)

    @property
    def ci(self) -> tuple[float, float] | None:
        """Both ends; None of a single seed."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def student_t_95(degrees: int) -> float:
    """Return the two-sided 95 % quantile of Student's t.

    It is never too small: between two known ones it is that of fewer degrees.
    """
    if degrees <= len(_T_95):
        return _T_95[degrees - 1]
    return next((t for limit, t in _T_95_BEYOND if degrees < limit), _T_95_FAR)
