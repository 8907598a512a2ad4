"""Where a request should be: asks the core with what the directory knows, and waits, bounded, when nobody is there.

The core's answer is instant and final for the moment. Waiting is only for a replica to come; waiting for room is the
replica's own queue.
"""

from dataclasses import dataclass
from functools import partial

import grpc
from niyama_core.door import Asked
from niyama_core.load import ReplicaLoad
from niyama_core.placement import Placed, Refusal, RefusalReason, rescue
from niyama_core.placement_estimate import forecast
from niyama_core.waitlist import MOST_SECONDS
from niyama_runtime.clock import Clock
from niyama_runtime.status import overloaded

from niyama_router.appointments import Appointments
from niyama_router.directory import Directory
from niyama_router.errors import Reason, RequestFailedError, failed
from niyama_router.forecasts import Forecasts
from niyama_router.journey import Journey
from niyama_router.known_replica import Booking
from niyama_router.rules import LiveRules

__all__ = ["Berth", "Placing", "nobody"]

_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Berth:
    """A place that is booked for a request: the replica as it was then."""

    load: ReplicaLoad
    booking: Booking

    @property
    def replica(self) -> str:
        """The replica's name."""
        return self.load.replica


class Placing:
    """Finds places."""

    def __init__(
        self,
        directory: Directory,
        live: LiveRules,
        *,
        forecasts: Forecasts,
        appointments: Appointments,
        clock: Clock,
    ) -> None:
        """Choose among the replicas of `directory` by the policy of `live`; who is refused hears when to come back."""
        self._forecasts = forecasts
        self._appointments = appointments
        self._directory = directory
        self._live = live
        self._clock = clock

    async def place(self, journey: Journey) -> Berth:
        """Return a place for the request; waits for a replica when there is none.

        Raises:
            RequestFailedError: none came in time, or the request is refused for want of room.
        """
        wait_until = self._clock.now() + self._live.rules.placement_wait
        while True:
            now = self._clock.now()
            found = self._try(journey, now)
            if not isinstance(found, Refusal):
                self._forecast(journey, found, now=now)
                return self._book(journey, found)
            if found.reason is RefusalReason.OVERLOAD:
                raise self._no_room(journey, found)
            if journey.refusal is not None:
                raise RequestFailedError(journey.refusal)
            left = journey.seconds_left(now)
            seconds = wait_until - now if left is None else min(left, wait_until - now)
            if seconds <= 0 or not await self._directory.wait_for_change(seconds):
                raise self._nobody_came(journey)

    def rescue(self, journey: Journey) -> Berth | None:
        """Return a place where a relegated request would still be on time; None when there is none."""
        if journey.num_rescues >= self._live.rules.max_moves:
            return None
        now = self._clock.now()
        candidates = self._directory.candidates(now, num_routers=self._live.rules.num_routers)
        request = journey.rescue_request(now, self._directory.incarnation)
        placed = rescue(request, candidates, policy=self._live.placement)
        return None if placed is None else self._book(journey, placed)

    def _try(self, journey: Journey, now: float) -> Placed | Refusal:
        candidates = self._directory.candidates(now, num_routers=self._live.rules.num_routers)
        request = journey.placement_request(now, self._directory.incarnation)
        asked = Asked(
            request,
            journey.request_id,
            seconds_for=partial(self._forecasts.seconds_for, request.promise),
            appointment=journey.admitted.appointment,
        )
        return self._live.door.place(asked, candidates, policy=self._live.placement, now=now)

    def _forecast(self, journey: Journey, placed: Placed, *, now: float) -> None:
        """Note what is expected of a request that is placed for the first time."""
        if journey.forecast is None and not journey.num_delivered:
            chosen = self._directory.candidate(placed.replica, now, num_routers=self._live.rules.num_routers)
            request = journey.placement_request(now, self._directory.incarnation)
            journey.forecast = forecast(request, chosen, classes=self._live.rules.classes)

    def _no_room(self, journey: Journey, refusal: Refusal) -> RequestFailedError:
        seconds = refusal.retry_after
        appointment = {"appointment": self._appointments.write(journey.request_id, seconds)}
        return RequestFailedError(
            overloaded(
                f"no replica can keep the promise at the moment: try again in {seconds:.1f} s",
                retry_after=seconds,
                metadata=appointment if seconds < MOST_SECONDS else {},
            )
        )

    def _nobody_came(self, journey: Journey) -> RequestFailedError:
        if journey.seconds_left(self._clock.now()) != 0:
            return nobody()
        return failed(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "the call's deadline passed before a replica was there",
            reason=Reason.DEADLINE,
        )

    def _book(self, journey: Journey, placed: Placed) -> Berth:
        booking = self._directory.book(placed.replica, journey.admitted.num_prompt_tokens)
        return Berth(booking.replica.load, booking)


def nobody() -> RequestFailedError:
    """Return the error of a request for which no replica is there."""
    return failed(
        grpc.StatusCode.UNAVAILABLE,
        "no replica takes requests at the moment",
        reason=Reason.NO_REPLICA,
        retry_after=_RETRY_SECONDS,
    )
