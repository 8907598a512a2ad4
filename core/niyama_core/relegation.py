"""When a waiting request is put behind all that can be on time.

A relegated request is never dropped: it is served when there is room. A rule is asked about a request when that
request is next in line and nothing of it has been computed.
"""

from dataclasses import dataclass
from typing import Protocol

from niyama_core.demand import DemandCurve
from niyama_core.request import LiveRequest

__all__ = ["HintedRelegation", "MissedRelegation", "NoRelegation", "Outlook", "Relegation"]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a rule may look at.

    Attributes:
        now: instant of the plan.
        prefill_rate: measured prefill tokens a second.
        important_demand: important work that waits.
    """

    now: float
    prefill_rate: float
    important_demand: DemandCurve

    def seconds_to_prefill(self, live: LiveRequest) -> float:
        """Return the time that the rest of a prefill takes at the measured rate."""
        return live.prefill_remaining / self.prefill_rate

    def will_miss(self, live: LiveRequest) -> bool:
        """Return whether a request would be late even if it were served at once."""
        return self.now + self.seconds_to_prefill(live) > live.prefill_due


class Relegation(Protocol):
    """Decides whether the next request in line is relegated."""

    def relegates(self, live: LiveRequest, outlook: Outlook) -> bool:
        """Return whether `live`, next in line and not begun, goes behind all that can be on time."""
        ...


@dataclass(frozen=True, slots=True)
class NoRelegation:
    """Everybody keeps their place. Under overload the late make the next ones late, and so on."""

    def relegates(self, live: LiveRequest, outlook: Outlook) -> bool:
        """Return False."""
        return False


@dataclass(frozen=True, slots=True)
class MissedRelegation:
    """Who has missed, or will miss even if served at once, gives way: the artifact's eager relegation."""

    def relegates(self, live: LiveRequest, outlook: Outlook) -> bool:
        """Return whether the request will miss."""
        return outlook.will_miss(live)


@dataclass(frozen=True, slots=True)
class HintedRelegation:
    """Who will miss gives way, and so does low importance while it would make an important request late.

    An important request is relegated only for itself: whatever of low importance came before it in line has been
    relegated by then, since the important work was in danger.
    """

    def relegates(self, live: LiveRequest, outlook: Outlook) -> bool:
        """Return whether the request will miss, or would make important work miss that it need not."""
        if outlook.will_miss(live):
            return True
        if live.is_important:
            return False
        margin = outlook.important_demand.margin(outlook.now, outlook.prefill_rate)
        return margin < outlook.seconds_to_prefill(live)
