"""The settings of a scheduler that can be tuned, each with the values to begin with: one table.

Which of them a policy uses is not declared but found out: a setting is used when another value of it gives another
policy. A new setting of the scheduler is one line here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from niyama_core.latency import LatencyModel
from niyama_core.policies import SchedulerSettings, build_policy

__all__ = ["NOT_TUNED", "TUNABLES", "Tunable", "tunables_of"]


@dataclass(frozen=True, slots=True)
class Tunable:
    """One setting.

    Attributes:
        field: its name in `SchedulerSettings`.
        key: its name in a manifest's `scheduler` section.
        values: to begin with, rising; between two of them the search goes on.
        is_whole: whether it counts something.
    """

    field: str
    key: str
    values: tuple[float, ...]
    is_whole: bool = False

    def put(self, scheduler: SchedulerSettings, value: float) -> SchedulerSettings:
        """Return the settings with another value of this one."""
        change: dict[str, Any] = {self.field: round(value) if self.is_whole else value}
        return replace(scheduler, **change)

    def between(self, value: float) -> tuple[float, ...]:
        """Return the values half way from one of the table to its neighbours."""
        if value not in self.values:
            return ()
        place = self.values.index(value)
        neighbours = self.values[max(place - 1, 0) : place] + self.values[place + 1 : place + 2]
        halves = ((value + neighbour) / 2 for neighbour in neighbours)
        return tuple(float(round(half)) if self.is_whole else half for half in halves)


TUNABLES: Sequence[Tunable] = (
    Tunable("alpha", "alpha", (0.0, 0.001, 0.002, 0.004, 0.008, 0.016)),
    Tunable("safety", "safety", (1.0, 1.1, 1.2, 1.35, 1.5)),
    Tunable("token_budget", "tokenBudget", (128, 256, 512, 1024, 2048), is_whole=True),
    Tunable("max_token_budget", "maxTokenBudget", (1024, 2048, 2552, 4096, 8192), is_whole=True),
)
"""What can be tuned."""

NOT_TUNED: Sequence[str] = ("policy", "max_num_seqs", "calibrated", "margin_quantile", "fairness")
"""Which policy it is, what the memory of the engine bounds, what is for machines that drift, and what is fair."""


def tunables_of(scheduler: SchedulerSettings, predictor: LatencyModel) -> tuple[Tunable, ...]:
    """Return the settings that the policy really uses."""
    return tuple(
        tunable
        for tunable in TUNABLES
        if len({repr(build_policy(tunable.put(scheduler, value), predictor)) for value in tunable.values}) > 1
    )
