"""A range of rates, and what runs at each of them came to: the curves of a sweep.

At another rate come the same requests in another time, so a curve is as smooth as one seed's requests let it be, and
several seeds say how firm it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from niyama_eval.contrast import mean_figures
from niyama_eval.errors import WorkloadError
from niyama_eval.goodput_search import Interval
from niyama_eval.run_figures import Figures

__all__ = ["MAX_RATES", "SweepPoint", "parse_rates"]

MAX_RATES = 200
"""The most rates of one sweep."""

_HOW_TO_WRITE = "write rates such as 2,2.5,4, or from:to:step such as 2:6:0.5"


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """What the runs of one contender at one rate came to.

    Attributes:
        qps: requests per second to the whole cluster.
        by_seed: figures of each run, in the order of the seeds.
    """

    qps: float
    by_seed: Sequence[Figures]

    @property
    def mean(self) -> Figures:
        """The mean of the runs."""
        return mean_figures(self.by_seed)

    def interval(self, measure: str, group: str) -> Interval | None:
        """Return a figure with its 95 % interval over the seeds; None when no run has it."""
        values = [figures[measure][group] for figures in self.by_seed if group in figures[measure]]
        return Interval.of(values) if values else None


def parse_rates(text: str) -> tuple[float, ...]:
    """Return the rates that a text names, rising: `2,2.5,4`, or `2:6:0.5` with both ends.

    Raises:
        WorkloadError: it names none, too many, or one that is not above 0.
    """
    try:
        numbers = [float(part) for part in text.replace(":", ",").split(",")]
        rates = _steps(numbers) if ":" in text else numbers
    except ValueError:
        raise WorkloadError("qps", f"{text!r} names no rates", fix=_HOW_TO_WRITE) from None
    wrong = [rate for rate in rates if not (math.isfinite(rate) and rate > 0)]
    if wrong or not rates:
        problem = f"{wrong[0]:g} is not above 0" if wrong else f"{text!r} names no rates"
        raise WorkloadError("qps", problem, fix=_HOW_TO_WRITE)
    if len(rates) > MAX_RATES:
        raise WorkloadError("qps", f"{text!r} are more than {MAX_RATES} rates", fix="take a larger step")
    return tuple(sorted(set(rates)))


def _steps(numbers: list[float]) -> list[float]:
    """Return the rates from start to end; a rate that rounding puts just beyond the end is the end.

    Raises:
        ValueError: the steps lead nowhere, or there are not three numbers.
    """
    start, end, step = numbers
    if not (step > 0 and start <= end < math.inf):
        raise ValueError(step)
    num_steps = math.floor((end - start) / step + 1e-9)
    # A step too many tells that there are too many.
    return [float(f"{start + step * index:.9g}") for index in range(min(num_steps, MAX_RATES) + 1)]
