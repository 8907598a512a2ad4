"""What a setting changes, told apart from chance: paired differences over seeds that share their requests.

The same seed gives every setting the same requests, so what differs between two settings is taken seed by seed, and
its confidence interval is that of Student's t over the seeds.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from niyama_eval.goodput import Point
from niyama_eval.goodput_search import student_t_95

__all__ = ["Difference", "Effect", "loss"]


def loss(point: Point) -> float:
    """Return what is to be small: the mean over the classes of the share that misses its promise, and late tokens.

    Late tokens count, because a setting that lets them be late would else look better than it is.
    """
    shares = point.violations.values()
    return (statistics.fmean(shares) if shares else 0.0) + point.late_tokens


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference over pairs, with its 95 % confidence interval; of a single pair there is none."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, differences: Sequence[float]) -> "Difference":
        """Return the mean of one or more differences."""
        mean = statistics.fmean(differences)
        if len(differences) < 2:
            return cls(mean, None, None)
        reach = student_t_95(len(differences) - 1) * statistics.stdev(differences) / math.sqrt(len(differences))
        return cls(mean, mean - reach, mean + reach)

    @property
    def is_within_noise(self) -> bool:
        """Whether no difference at all would explain it, too; always, of a single pair."""
        return self.low is None or self.high is None or self.low <= 0.0 <= self.high

    @property
    def is_better(self) -> bool:
        """Whether the loss falls beyond noise."""
        return not self.is_within_noise and self.mean < 0


@dataclass(frozen=True, slots=True)
class Effect:
    """What one value of one setting changes of the loss, all else as it was.

    Attributes:
        setting: as manifests name it.
        value: that was tried.
        difference: of the loss; negative is better.
    """

    setting: str
    value: float
    difference: Difference

    @property
    def verdict(self) -> str:
        """The effect in a word or two."""
        if self.difference.mean == 0 and self.difference.low in (None, 0.0):
            return "no effect"
        if self.difference.is_within_noise:
            return "within noise"
        return "better" if self.difference.mean < 0 else "worse"
