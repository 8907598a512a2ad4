"""When to come back: who is refused gets an appointment, at a time when there will be room for them.

A class may refuse what cannot be on time. Told to come back at once, everybody would, and most in vain; told a guess,
those who obey it would lose against those who come by chance. So a refusal is an appointment:

- *Drain rate*: by how much the wait for the class falls, in seconds a second, measured between looks at it with what
  was let in meanwhile added back. More urgent classes that take the room show in it.
- *When*: the first after the wait has drained to where somebody is let in; each further one after the work of the one
  before has drained. So those who come back never bring more at a time than drains. They are counted on by the share
  that has kept short appointments of late; who gives up because of a long one is waited for all the same.
- *Who*: whoever comes anew is let in up to a wait a little below what was promised; whoever keeps an appointment, up to
  the very promise. That *headroom* is what the errors of all estimates need so that a share of `TARGET` of those who
  come back finds room: it grows a little with each who does not, and shrinks with each who does (Robbins and Monro
  1951). Room that nobody comes back for is lost to nobody: those who come anew take it.

Everything is in seconds of the cluster's work. Of several routers each gives appointments for its share of the drain,
and takes those of the others as its own.
"""

import math
from dataclasses import dataclass

__all__ = ["MOST_SECONDS", "TARGET", "Appointment", "Arrival", "Waitlist"]

TARGET = 0.9
"""Share of those who come back when told that are to be let in."""
MOST_SECONDS = 60.0
"""What anybody is told at most. It is no appointment but a word to ask again: nobody can tell for longer."""

_MOST_WAITING = 10_000
_LEAST_SECONDS = 0.1
_LEAST_DRAIN, _MOST_DRAIN = 0.02, 2.0
_LOOK_SECONDS, _STALE_SECONDS = 4.0, 20.0
_NEWEST_SHARE = 0.3
# How long after their time somebody is still expected: clients spread themselves, and answers take a while.
_GRACE_SECONDS, _GRACE_SHARE = 1.0, 0.25
_RETURN_STEP = 0.05
_LEAST_RETURNING = 0.1
_SHORT_SECONDS = 20.0
_HEADROOM_STEP = 0.02
_MOST_HEADROOM = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request that asks to be let in.

    Attributes:
        request_id: by which it is known when it comes back.
        wait: seconds since its arrival and until it would be served by its promise's measure.
        promised: seconds that this may be.
        work: seconds of the whole cluster that it takes.
    """

    request_id: str
    wait: float
    promised: float
    work: float


@dataclass(frozen=True, slots=True)
class Appointment:
    """When to come back.

    Attributes:
        given: instant at which that was said.
        due: instant at which to come back.
        work: seconds of the cluster that are counted on for it.
        is_first: whether none was given to the same request before.
    """

    given: float
    due: float
    work: float = 0.0
    is_first: bool = True

    @property
    def expires(self) -> float:
        """Until when it may be kept."""
        return self.due + _GRACE_SECONDS + _GRACE_SHARE * (self.due - self.given)


class Waitlist:
    """The appointments of one class."""

    def __init__(self) -> None:
        """Start without any."""
        self._appointments: dict[str, Appointment] = {}
        self._work = 0.0
        self._next_due = -math.inf
        self._returning = 1.0
        self._headroom = 0.0
        self._drain = 1.0
        self._looked_at = -math.inf
        self._wait = 0.0
        self._let_in = 0.0

    def __len__(self) -> int:
        """Return how many are expected to come back."""
        return len(self._appointments)

    def ask(
        self, arrival: Arrival, now: float, *, num_routers: int = 1, elsewhere: Appointment | None = None
    ) -> float | None:
        """Return None when the request is let in, else the seconds after which it should come back.

        `num_routers` give appointments for the same replicas; the request may have one from `elsewhere`.
        """
        self._look(arrival, now, num_routers=num_routers)
        self._expire(now)
        appointment = self._appointments.get(arrival.request_id, elsewhere)
        if appointment is None or now > appointment.expires:
            return self._ask_anew(arrival, now, num_routers=num_routers)
        if now < appointment.due:
            return self._ask_early(arrival, appointment, now=now)
        self._forget(arrival.request_id)
        fits = arrival.wait <= arrival.promised
        if appointment.is_first:
            self._learn(appointment, was_let_in=fits)
        if fits:
            self._let_in += arrival.work
            return None
        return self._give(arrival, self._seconds_until_room(arrival), now=now, is_first=False)

    def _ask_anew(self, arrival: Arrival, now: float, *, num_routers: int) -> float | None:
        if arrival.wait <= self._limit(arrival):
            self._let_in += arrival.work
            return None
        room_at = now + self._seconds_until_room(arrival)
        # Nobody waits for the work of those who have left.
        due = max(room_at, min(self._next_due, room_at + num_routers * self._work / self._drain))
        self._next_due = due + self._returning * num_routers * arrival.work / self._drain
        # Whoever is told to ask again after a minute, because nobody can tell for longer, is no measure of the rest.
        return self._give(arrival, due - now, now=now, is_first=due - now <= MOST_SECONDS)

    def _ask_early(self, arrival: Arrival, appointment: Appointment, *, now: float) -> float | None:
        """Let somebody in who comes before their time as if they came anew, else remind them of it."""
        if arrival.wait > self._limit(arrival):
            return max(_LEAST_SECONDS, appointment.due - now)
        self._forget(arrival.request_id)
        self._let_in += arrival.work
        return None

    def _give(self, arrival: Arrival, seconds: float, *, now: float, is_first: bool) -> float:
        seconds = min(MOST_SECONDS, max(_LEAST_SECONDS, seconds))
        if len(self._appointments) < _MOST_WAITING:
            self._appointments[arrival.request_id] = Appointment(now, now + seconds, arrival.work, is_first)
            self._work += arrival.work
        return seconds

    def _forget(self, request_id: str) -> None:
        appointment = self._appointments.pop(request_id, None)
        if appointment is None:
            return
        self._work -= appointment.work
        if not self._appointments:
            self._work = 0.0

    def _seconds_until_room(self, arrival: Arrival) -> float:
        return max(0.0, arrival.wait - self._limit(arrival)) / self._drain

    def _limit(self, arrival: Arrival) -> float:
        """Return the longest wait at which somebody is let in who comes anew."""
        return (1.0 - self._headroom) * arrival.promised

    def _expire(self, now: float) -> None:
        """Forget the oldest appointments that were not kept."""
        while self._appointments:
            request_id, appointment = next(iter(self._appointments.items()))
            if appointment.expires >= now:
                return
            self._forget(request_id)
            if appointment.is_first:
                self._note_return(appointment, 0.0)

    def _learn(self, appointment: Appointment, *, was_let_in: bool) -> None:
        """Learn from somebody who kept their first appointment."""
        self._note_return(appointment, 1.0)
        self._headroom += _HEADROOM_STEP * (TARGET - was_let_in)
        self._headroom = min(_MOST_HEADROOM, max(0.0, self._headroom))

    def _note_return(self, appointment: Appointment, kept: float) -> None:
        if appointment.due - appointment.given <= _SHORT_SECONDS:
            self._returning = max(_LEAST_RETURNING, self._returning + _RETURN_STEP * (kept - self._returning))

    def _look(self, arrival: Arrival, now: float, *, num_routers: int) -> None:
        """Measure the drain rate, if the last look was long enough ago."""
        seconds = now - self._looked_at
        if seconds < _LOOK_SECONDS:
            return
        # Where nothing waits nothing drains, which says nothing of how fast it would.
        if self._wait > 0.5 * arrival.promised and seconds < _STALE_SECONDS:
            drained = (self._wait - arrival.wait + num_routers * self._let_in) / seconds
            newest = self._drain + _NEWEST_SHARE * (drained - self._drain)
            self._drain = min(_MOST_DRAIN, max(_LEAST_DRAIN, newest))
        self._looked_at, self._wait, self._let_in = now, arrival.wait, 0.0
