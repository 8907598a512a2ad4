"""Which requests of a run count: all of them, unless a warm-up or a cool-down is left out.

A run begins with idle replicas and ends with nobody new behind the last request, so its ends are calmer than its
middle. The published evaluation counts every request, and so do we by default; whoever wants the middle alone names how
much to leave out. Requests at the ends are simulated all the same: those of the middle must meet them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from niyama_eval.errors import WorkloadError
from niyama_eval.outcomes import RequestOutcome

__all__ = ["Counted"]


@dataclass(frozen=True, slots=True)
class Counted:
    """The stretch of a run whose requests count, by their arrival.

    Attributes:
        warm_up: seconds at the beginning that do not count.
        cool_down: seconds before the last arrival that do not count.

    Raises:
        WorkloadError: one of them is negative.
    """

    warm_up: float = 0.0
    cool_down: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no time."""
        for name, seconds in (("warm_up", self.warm_up), ("cool_down", self.cool_down)):
            if not (math.isfinite(seconds) and seconds >= 0):
                raise WorkloadError(name, f"{seconds} is no time", fix="give 0 s or more")

    def to_json(self) -> dict[str, float]:
        """Return what is left out, as JSON has it."""
        return {"warm_up_s": self.warm_up, "cool_down_s": self.cool_down}

    def of(self, outcomes: Sequence[RequestOutcome]) -> Sequence[RequestOutcome]:
        """Return the requests that count, in the order of arrival.

        Raises:
            WorkloadError: none does.
        """
        if not (self.warm_up or self.cool_down):
            return outcomes
        end = max((outcome.arrival for outcome in outcomes), default=0.0) - self.cool_down
        counted = [outcome for outcome in outcomes if self.warm_up <= outcome.arrival <= end]
        if not counted:
            problem = f"{self.warm_up:g} s and a cool_down of {self.cool_down:g} s leave no request of the run"
            raise WorkloadError("warm_up", problem, fix="leave out less, or make the run longer")
        return counted
