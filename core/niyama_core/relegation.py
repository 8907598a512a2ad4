"""When a waiting request is put behind all that can be on time.

A relegated request is never dropped: it is served when there is room. A rule is asked about a request when that
request is next in line and nothing of it has been computed.
"""

from dataclasses import dataclass
from typing import Protocol

from niyama_core.demand import DemandCurve
from niyama_core.hot_value import hot_value
from niyama_core.request import LiveRequest
from niyama_core.slo import OnOverload

__all__ = ["HintedRelegation", "MissedRelegation", "NoRelegation", "Outlook", "Relegation"]


@hot_value
class Outlook:
    """What a rule may look at.

    Attributes:
        now: instant of the plan.
        prefill_rate: measured prefill tokens a second.
        iteration_time: measured seconds of an iteration.
        important_demand: important work that waits.
    """

    now: float
    prefill_rate: float
    iteration_time: float
    important_demand: DemandCurve

    def seconds_to_prefill(self, live: LiveRequest) -> float:
        """Return the time that the rest of a prefill takes at the measured rate."""
        return live.prefill_remaining / self.prefill_rate

    def will_miss(self, live: LiveRequest) -> bool:
        """Return whether a request would be late even if it were served at once."""
        return self.now + self.seconds_to_prefill(live) > live.prefill_due

    def gives_way(self, live: LiveRequest) -> bool:
        """Return whether a request will miss and its class does not ask to keep its place even so."""
        return self.will_miss(live) and live.request.promise.on_overload is not OnOverload.QUEUE


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
    """Who has missed, or will miss even if served at once, gives way: the artifact's eager relegation.

    A class that queues on overload keeps its place and is late.
    """

    def relegates(self, live: LiveRequest, outlook: Outlook) -> bool:
        """Return whether the request will miss and gives way."""
        return outlook.gives_way(live)


@dataclass(frozen=True, slots=True)
class HintedRelegation:
    """Who will miss gives way, and so does low importance while it would make an important request late.

    An important request is relegated only for itself: when it would be late even if it were served at once, so that
    relegating others instead would not save it. Until then nothing of low importance has begun that, by the demand
    that waited, would have made important work late. A class that queues on overload keeps its place when it will
    miss, but gives way to important work like any other when it is of low importance.
    """

    def relegates(self, live: LiveRequest, outlook: Outlook) -> bool:
        """Return whether the request will miss, or would make important work miss that it need not."""
        if outlook.gives_way(live):
            return True
        if live.is_important:
            return False
        margin = outlook.important_demand.margin(outlook.now, outlook.prefill_rate)
        # What is begun in this iteration shows in the margin only in the next.
        return margin < outlook.seconds_to_prefill(live) + outlook.iteration_time
