"""What this router knows of its replicas, in memory: nobody on a request's way waits for anything here.

Three things are kept apart. *Membership*: a replica has been sighted, and has not left. *Liveness*: how long ago it
gave a sign of life, and whether a call to it broke since. The *age of its load*: how far to trust the figures. A
replica that looks away is not placed on; when all look away at once it is more likely that the router is blind, and
the last known pool is kept.
"""

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import structlog
from niyama_core.load import ReplicaLoad
from niyama_core.placement import Candidate
from niyama_runtime.load_board import Change, MembershipChange

from niyama_router.load_store import Sighting

__all__ = ["Booking", "Directory", "KnownReplica"]

# Agents give a sign of life every second, changed or not.
_SILENT_SECONDS = 3.0
_ASK_AFTER_SECONDS = 1.5
_FORGET_SECONDS = 60.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Booking:
    """One request that this router has placed on a replica, from its placing to its end there.

    Attributes:
        replica: where.
        sequence: of the replica's load when the request was placed.
        num_tokens: estimate of its prompt's length.
    """

    replica: "KnownReplica"
    sequence: int
    num_tokens: int

    def settle(self) -> None:
        """Note that the replica has dealt with the prompt, or that its reports count it."""
        self.replica.settle(self)

    def close(self) -> None:
        """Note that the request has left the replica; call it once."""
        self.replica.settle(self)
        self.replica.num_open -= 1


@dataclass(slots=True, eq=False)
class KnownReplica:
    """What is known of one replica; instants are this process's.

    Attributes:
        load: its latest load.
        load_since: instant from which that load is known.
        last_sign: instant of its last sign of life.
        lost_at: instant at which a call to it broke; minus infinity when none has.
        is_listed: whether the board named it when it was last read.
        num_open: requests of this router that are there.
        pending: those of them that its reports cannot count yet.
        pending_tokens: sum of their prompts' tokens.
    """

    load: ReplicaLoad
    load_since: float
    last_sign: float
    lost_at: float = -math.inf
    is_listed: bool = False
    num_open: int = 0
    pending: set[Booking] = field(default_factory=set)
    pending_tokens: int = 0

    def book(self, num_tokens: int) -> Booking:
        """Note that a request is placed here."""
        booking = Booking(self, self.load.sequence, num_tokens)
        self.num_open += 1
        self.pending.add(booking)
        self.pending_tokens += num_tokens
        return booking

    def settle(self, booking: Booking) -> None:
        """Count a booking no longer beside the reports."""
        if booking in self.pending:
            self.pending.remove(booking)
            self.pending_tokens -= booking.num_tokens

    def see(self, sighting: Sighting, now: float) -> None:
        """Take in what a source says; a restart ends what was known, an older report is only a sign of life."""
        load = sighting.load
        if load.incarnation != self.load.incarnation:
            self.lost_at = -math.inf
            self.last_sign = now - sighting.silent_seconds
            for booking in list(self.pending):
                self.settle(booking)
            self._renew(sighting, now)
            return
        self.last_sign = max(self.last_sign, now - sighting.silent_seconds)
        if load.sequence >= self.load.sequence:
            self._renew(sighting, now)

    def is_awake(self, now: float) -> bool:
        """Return whether it gave a sign of life lately, and since a call to it last broke."""
        return self.last_sign > self.lost_at and now - self.last_sign < _SILENT_SECONDS

    def candidate(self, now: float) -> Candidate:
        """Return the replica as placement sees it."""
        return Candidate(
            self.load,
            age=max(0.0, now - self._trusted_since),
            pending_prefill_tokens=self.pending_tokens,
            num_pending=len(self.pending),
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


class Directory:
    """The known replicas by name."""

    def __init__(self) -> None:
        """Begin without any."""
        self._replicas: dict[str, KnownReplica] = {}
        self._changed = asyncio.Event()
        self._placeable: frozenset[tuple[str, int]] = frozenset()

    def __len__(self) -> int:
        return len(self._replicas)

    def replicas(self) -> Sequence[KnownReplica]:
        """Return all, in the order of their names."""
        return [self._replicas[name] for name in sorted(self._replicas)]

    def see(self, sightings: Iterable[Sighting], now: float, *, listed: bool = False) -> None:
        """Take in one look of a source; `listed` when it is the board, which names all its members each time."""
        sightings = list(sightings)
        for sighting in sightings:
            self._see(sighting, now)
        if listed:
            names = {sighting.load.replica for sighting in sightings}
            for name, known in self._replicas.items():
                known.is_listed = name in names
        self._forget(now)
        self._tell(now)

    def unlist(self) -> None:
        """Note that the board is away: it names nobody."""
        for known in self._replicas.values():
            known.is_listed = False

    def hear(self, change: MembershipChange, now: float) -> None:
        """Take in a change that the board announced; a joining replica is known once it is read."""
        known = self._replicas.get(change.replica)
        if known is None or change.change is Change.JOINED:
            return
        # Its last words: streams that are open there go on, and nothing is placed there.
        known.load = replace(known.load, draining=True)
        if change.change is Change.LEFT:
            known.is_listed = False
            known.last_sign = known.lost_at = min(known.last_sign, now)
        self._tell(now)

    def lose(self, name: str, incarnation: int, *, now: float) -> None:
        """Place nothing on that start of a replica, a call to which broke, before it gives a sign of life."""
        known = self._replicas.get(name)
        if known is None or known.load.incarnation != incarnation:
            return
        if known.is_awake(now):
            _log.warning("replica_lost", replica=name, address=known.load.address, num_open=known.num_open)
        known.lost_at = now
        self._tell(now)

    def candidates(self, now: float) -> list[Candidate]:
        """Return where a request could be placed."""
        return [known.candidate(now) for known in self._pool(now)]

    def book(self, name: str, num_tokens: int) -> Booking:
        """Note that a request is placed on the replica of that name.

        Raises KeyError when there is none.
        """
        return self._replicas[name].book(num_tokens)

    def incarnation(self, name: str) -> int | None:
        """Return which start of a replica is the present one; None when it is not known."""
        known = self._replicas.get(name)
        return known.load.incarnation if known else None

    def placeable(self, now: float) -> frozenset[str]:
        """Return the names of those on which new requests may be placed."""
        return frozenset(known.load.replica for known in self._pool(now))

    def addresses(self) -> frozenset[str]:
        """Return the addresses of all."""
        return frozenset(known.load.address for known in self._replicas.values())

    def addresses_to_ask(self, now: float) -> frozenset[str]:
        """Return the addresses of those about whom the board says nothing, or nothing good."""
        return frozenset(
            known.load.address
            for known in self._replicas.values()
            if not known.is_listed or known.last_sign <= known.lost_at or now - known.last_sign > _ASK_AFTER_SECONDS
        )

    async def wait_for_change(self, within: float) -> bool:
        """Return when other replicas than before can be placed on, or False after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _see(self, sighting: Sighting, now: float) -> None:
        load = sighting.load
        known = self._replicas.get(load.replica)
        if known is None:
            self._replicas[load.replica] = KnownReplica(
                load, load_since=now - sighting.load_age, last_sign=now - sighting.silent_seconds
            )
        else:
            known.see(sighting, now)

    def _pool(self, now: float) -> list[KnownReplica]:
        """Return the replicas to choose from; without any that is awake, all that do not drain."""
        pool = [known for known in self._replicas.values() if not known.load.draining]
        return [known for known in pool if known.is_awake(now)] or pool

    def _forget(self, now: float) -> None:
        """Drop the replicas that nobody has heard of for long, so that names do not pile up."""
        for name, known in list(self._replicas.items()):
            gone = known.load.draining and not known.is_listed and not known.is_awake(now)
            silent = now - known.last_sign > _FORGET_SECONDS and not known.is_listed
            if (gone or silent) and not known.num_open:
                del self._replicas[name]

    def _tell(self, now: float) -> None:
        """Wake those who wait, when the replicas that can be placed on are others than before."""
        placeable = frozenset((known.load.replica, known.load.incarnation) for known in self._pool(now))
        if placeable != self._placeable:
            self._placeable = placeable
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
