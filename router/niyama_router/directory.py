"""What this router knows of its replicas, in memory: nobody on a request's way waits for anything here.

Three things are kept apart. *Membership*: a replica has been sighted, and has not left. *Liveness*: how long ago it
gave a sign of life, and whether a call to it broke since. The *age of its load*: how far to trust the figures. A
replica that looks away is not placed on, and a second later what is open there is let go; when all look away at once
it is more likely that the router is blind, and the last known pool is kept.
"""

import asyncio
from collections.abc import Iterable, Sequence

import structlog
from niyama_core.placement import Candidate
from niyama_runtime.load_board import Change, MembershipChange

from niyama_router.known_replica import Booking, KnownReplica
from niyama_router.load_store import Sighting

__all__ = ["Directory"]

_log = structlog.get_logger(__name__)


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
        self._give_up(now)
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
        if change.change is Change.LEFT:
            known.leave()
        else:
            known.drain()
        self._tell(now)

    def lose(self, name: str, incarnation: int, *, now: float) -> None:
        """Place nothing on that start of a replica, a call to which broke, before it answers this router."""
        known = self._replicas.get(name)
        if known is None or known.load.incarnation != incarnation:
            return
        if known.is_awake(now):
            _log.warning("replica_lost", replica=name, address=known.load.address, num_open=known.num_open)
        known.is_lost = True
        self._tell(now)

    def candidates(self, now: float, *, num_routers: int = 1) -> list[Candidate]:
        """Return where a request could be placed, as one of `num_routers` routers sees it."""
        return [known.candidate(now, num_routers=num_routers) for known in self._pool(now)]

    def candidate(self, name: str, now: float, *, num_routers: int = 1) -> Candidate:
        """Return the replica of that name as placement sees it.

        Raises KeyError when there is none.
        """
        return self._replicas[name].candidate(now, num_routers=num_routers)

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
        return frozenset(known.load.address for known in self._replicas.values() if known.needs_asking(now))

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

    def _give_up(self, now: float) -> None:
        """Let requests go that are at replicas that hang; not when all look so, for then the router is blind."""
        hung = [known for known in self._replicas.values() if known.num_open and known.is_hung(now)]
        if hung and any(known.is_awake(now) for known in self._replicas.values()):
            for known in hung:
                known.give_up()

    def _forget(self, now: float) -> None:
        """Drop those of whom nothing more is to be expected, so that names do not pile up."""
        for name in [name for name, known in self._replicas.items() if known.is_forgettable(now)]:
            del self._replicas[name]

    def _tell(self, now: float) -> None:
        """Wake those who wait, when the replicas that can be placed on are others than before."""
        placeable = frozenset((known.load.replica, known.load.incarnation) for known in self._pool(now))
        if placeable != self._placeable:
            self._placeable = placeable
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
