"""One replica as this router knows it: its load, its signs of life, and what was placed there since.

Records that change, by named transitions only; `directory` keeps one for each name.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from niyama_core.load import ReplicaLoad
from niyama_core.placement import Candidate

from niyama_router.load_store import Sighting

__all__ = ["Booking", "KnownReplica"]

# Agents give a sign of life every second, changed or not.
_SILENT_SECONDS = 3.0
# What is open at a replica that is silent for longer goes on elsewhere.
_GIVE_UP_SECONDS = 4.0
_ASK_AFTER_SECONDS = 1.5
_FORGET_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class Booking:
    """One request that this router has placed on a replica, from its placing to its end there.

    Attributes:
        replica: where.
        sequence: of the replica's load when the request was placed.
        num_tokens: estimate of its prompt's length.
        on_given_up: called when the replica hangs; None while nothing is open.
    """

    replica: "KnownReplica"
    sequence: int
    num_tokens: int
    on_given_up: Callable[[], None] | None = None

    def settle(self) -> None:
        """Note that the replica has dealt with the prompt, or that its reports count it."""
        self.replica.settle(self)

    def hand_over(self) -> None:
        """Note that the request comes by itself: nothing of this router is open, and its reports do not count it yet.

        Whoever hands it over settles the booking in the end, for the request may never come.
        """
        self.replica.open.discard(self)

    def close(self) -> None:
        """Note that the request has left the replica; call it once."""
        self.replica.settle(self)
        self.replica.open.discard(self)


@dataclass(slots=True, eq=False)
class KnownReplica:
    """What is known of one replica; instants are this process's.

    Attributes:
        load: its latest load.
        load_since: instant from which that load is known.
        last_sign: instant of its last sign of life.
        is_lost: whether a call to it broke, and it has not answered this router since. What it tells others does not
            count: it may live, and be out of this router's reach.
        is_listed: whether the board named it when it was last read.
        open: requests of this router that are there.
        pending: those of them that its reports cannot count yet.
        pending_tokens: sum of their prompts' tokens.
    """

    load: ReplicaLoad
    load_since: float
    last_sign: float
    is_lost: bool = False
    is_listed: bool = False
    open: set[Booking] = field(default_factory=set)
    pending: set[Booking] = field(default_factory=set)
    pending_tokens: int = 0

    def book(self, num_tokens: int) -> Booking:
        """Note that a request is placed here."""
        booking = Booking(self, self.load.sequence, num_tokens)
        self.open.add(booking)
        self.pending.add(booking)
        self.pending_tokens += num_tokens
        return booking

    @property
    def num_open(self) -> int:
        """Requests of this router that are there."""
        return len(self.open)

    def is_hung(self, now: float) -> bool:
        """Return whether it has been silent for so long that nothing more is to be expected of it."""
        return now - self.last_sign > _GIVE_UP_SECONDS

    def give_up(self) -> None:
        """Tell those whose requests are there that nothing more is to be expected."""
        for booking in list(self.open):
            if booking.on_given_up is not None:
                booking.on_given_up()

    def settle(self, booking: Booking) -> None:
        """Count a booking no longer beside the reports."""
        if booking in self.pending:
            self.pending.remove(booking)
            self.pending_tokens -= booking.num_tokens

    def see(self, sighting: Sighting, now: float) -> None:
        """Take in what a source says; a restart ends what was known, an older report is only a sign of life."""
        load = sighting.load
        if load.incarnation != self.load.incarnation:
            self.is_lost = False
            self.last_sign = now - sighting.silent_seconds
            for booking in list(self.pending):
                self.settle(booking)
            self._renew(sighting, now)
            return
        self.last_sign = max(self.last_sign, now - sighting.silent_seconds)
        self.is_lost = self.is_lost and not sighting.is_direct
        if load.sequence >= self.load.sequence:
            self._renew(sighting, now)

    def is_awake(self, now: float) -> bool:
        """Return whether it gave a sign of life lately, and is in reach."""
        return not self.is_lost and now - self.last_sign < _SILENT_SECONDS

    def needs_asking(self, now: float) -> bool:
        """Return whether the board says nothing about it, or nothing good."""
        return not self.is_listed or self.is_lost or now - self.last_sign > _ASK_AFTER_SECONDS

    def is_forgettable(self, now: float) -> bool:
        """Return whether it has left, or nobody has heard of it for long, and nothing of this router is there."""
        if self.is_listed or self.num_open:
            return False
        has_left = self.load.draining and not self.is_awake(now)
        return has_left or now - self.last_sign > _FORGET_SECONDS

    def drain(self) -> None:
        """Note that it takes nothing new; streams that are open there go on."""
        self.load = replace(self.load, draining=True)

    def leave(self) -> None:
        """Note that it has said goodbye."""
        self.drain()
        self.is_listed = False
        self.is_lost = True

    def candidate(self, now: float, *, num_routers: int = 1) -> Candidate:
        """Return the replica as placement sees it.

        The other routers are taken to have placed as much here since the report as this one, of `num_routers`.
        """
        return Candidate(
            self.load,
            age=max(0.0, now - self._trusted_since),
            pending_prefill_tokens=num_routers * self.pending_tokens,
            num_pending=num_routers * len(self.pending),
        )

    @property
    def _trusted_since(self) -> float:
        """An idle replica that gives a sign of life has nothing new to say; a busy one always should have."""
        return self.load_since if self.load.num_requests else max(self.load_since, self.last_sign)

    def _renew(self, sighting: Sighting, now: float) -> None:
        self.load = sighting.load
        self.load_since = now - sighting.load_age
        # The report after the one that was known at the placing may have been on its way already, without the
        # request. The one after that was begun later than the placing. No two clocks are compared.
        for booking in [booking for booking in self.pending if booking.sequence + 2 <= self.load.sequence]:
            self.settle(booking)
