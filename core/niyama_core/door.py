"""The door of a cluster: places requests, and refuses those whose class says so when nobody can keep the promise.

Of all that `placement` can place, only requests of classes with `onOverload: reject` are ever turned away, and each of
them with an appointment that `waitlist` gives. One door stands before all replicas of a router.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from niyama_core.placement import Candidate, Placed, Placement, PlacementRequest, Refusal, RefusalReason, place
from niyama_core.slo import OnOverload, promised_seconds
from niyama_core.waitlist import MOST_SECONDS, Appointment, Arrival, Waitlist

__all__ = ["Asked", "Door"]


def _as_it_is(seconds: float) -> float:
    return seconds


@dataclass(frozen=True, slots=True)
class Asked:
    """A request before the door.

    Attributes:
        request: what placement knows of it.
        request_id: by which it is known when it comes back.
        seconds_for: how long it is to be expected to take when so many seconds are forecast; forecasts know nothing of
            what comes later, such as more important work. Infinity when nobody can tell.
        appointment: what another router's door gave it.
    """

    request: PlacementRequest
    request_id: str
    seconds_for: Callable[[float], float] = _as_it_is
    appointment: Appointment | None = None


class Door:
    """Lets requests in, or tells them when to come back.

    Attributes:
        num_routers: routers with a door to the same replicas.
    """

    def __init__(self, num_routers: int = 1) -> None:
        """Start without anybody waiting."""
        self.num_routers = num_routers
        self._waitlists: dict[str, Waitlist] = {}

    @property
    def num_waiting(self) -> int:
        """Requests that are expected to come back."""
        return sum(len(waitlist) for waitlist in self._waitlists.values())

    def place(
        self, asked: Asked, candidates: Sequence[Candidate], *, policy: Placement, now: float
    ) -> Placed | Refusal:
        """Return where a request goes, or why it goes nowhere."""
        request = asked.request
        placed = place(request, candidates, policy=policy)
        if isinstance(placed, Refusal) or request.promise.on_overload is not OnOverload.REJECT:
            return placed
        arrival = Arrival(
            request_id=asked.request_id,
            wait=request.elapsed + asked.seconds_for(placed.expected_seconds),
            promised=promised_seconds(request.promise.slo),
            work=request.num_prompt_tokens / sum(candidate.prefill_rate for candidate in candidates),
        )
        if arrival.wait == math.inf:
            return Refusal(RefusalReason.OVERLOAD, retry_after=MOST_SECONDS)
        waitlist = self._waitlists.setdefault(request.promise.qos_class, Waitlist())
        come_back_in = waitlist.ask(arrival, now, num_routers=self.num_routers, elsewhere=asked.appointment)
        return placed if come_back_in is None else Refusal(RefusalReason.OVERLOAD, retry_after=come_back_in)
