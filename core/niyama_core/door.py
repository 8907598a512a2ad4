"""The door of a cluster: places requests, and refuses those whose class says so when nobody can keep the promise.

Of all that `placement` can place, only requests of classes with `onOverload: reject` are ever turned away, and each of
them with an appointment that `waitlist` gives. One door stands before all replicas of a router.
"""

from collections.abc import Sequence

from niyama_core.placement import Candidate, Placed, Placement, PlacementRequest, Refusal, RefusalReason, place
from niyama_core.slo import OnOverload, Promise, promised_seconds
from niyama_core.waitlist import Appointment, Arrival, Waitlist

__all__ = ["Door"]


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

    def ended(self, promise: Promise, *, on_time: bool) -> None:
        """Learn from a request that was let in, and has ended."""
        waitlist = self._waitlists.get(promise.qos_class)
        if waitlist is not None and promise.on_overload is OnOverload.REJECT:
            waitlist.ended(on_time=on_time)

    def place(
        self,
        request: PlacementRequest,
        candidates: Sequence[Candidate],
        *,
        request_id: str,
        policy: Placement,
        now: float,
        elsewhere: Appointment | None = None,
    ) -> Placed | Refusal:
        """Return where a request goes, or why it goes nowhere; it is known by its id when it comes back.

        `elsewhere` is the appointment that another router's door gave it.
        """
        placed = place(request, candidates, policy=policy)
        if isinstance(placed, Refusal) or request.promise.on_overload is not OnOverload.REJECT:
            return placed
        arrival = Arrival(
            request_id=request_id,
            wait=request.elapsed + placed.expected_seconds,
            promised=promised_seconds(request.promise.slo),
            work=request.num_prompt_tokens / sum(candidate.prefill_rate for candidate in candidates),
        )
        waitlist = self._waitlists.setdefault(request.promise.qos_class, Waitlist())
        come_back_in = waitlist.ask(arrival, now, num_routers=self.num_routers, elsewhere=elsewhere)
        return placed if come_back_in is None else Refusal(RefusalReason.OVERLOAD, retry_after=come_back_in)
