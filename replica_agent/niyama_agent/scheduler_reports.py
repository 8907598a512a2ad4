"""What the scheduler in the engine's process and the agent tell each other, and what carries it.

Reports go up: every iteration, what was relegated, and how loaded the engine is. Orders go down: another policy, and to
hand back what has not begun. Neither side waits for the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from niyama_core.journal import IterationRecord
from niyama_core.latency import LatencyModel
from niyama_core.policies import SchedulerSettings

from niyama_agent.engine import EngineLoad

__all__ = ["BeginAnew", "HandBack", "Order", "RelegatedName", "Report", "Reschedule", "SchedulerChannel", "Unheard"]


@dataclass(frozen=True, slots=True)
class RelegatedName:
    """A request was put behind all that can be on time; `name` is what the agent calls it."""

    name: str
    before_first_token: bool


Report = IterationRecord | RelegatedName | EngineLoad


@dataclass(frozen=True, slots=True)
class Reschedule:
    """Schedule by other settings from the next iteration on."""

    scheduler: SchedulerSettings


@dataclass(frozen=True, slots=True)
class HandBack:
    """Give back all of which nothing has been computed."""


@dataclass(frozen=True, slots=True)
class BeginAnew:
    """Forget what was learned and plan from another predictor on, as soon as nothing is live; iterations count from 0.

    The agent gives this order when it has measured the machine, before it serves anybody.
    """

    scheduler: SchedulerSettings
    predictor: LatencyModel


Order = Reschedule | HandBack | BeginAnew


class SchedulerChannel(Protocol):
    """The scheduler's end of the way to the agent. Nothing here waits."""

    num_dropped: int
    """Iterations that were not reported, for want of room."""

    def send(self, reports: Sequence[Report]) -> None:
        """Send reports, or keep the latest of them until there is room again."""
        ...

    def orders(self) -> Iterable[Order]:
        """Return the orders that have come since the last time."""
        ...


class Unheard:
    """The channel of a scheduler that nobody listens to."""

    num_dropped = 0

    def send(self, reports: Sequence[Report]) -> None:
        """Forget the reports."""

    def orders(self) -> Iterable[Order]:
        """Return nothing."""
        return ()
