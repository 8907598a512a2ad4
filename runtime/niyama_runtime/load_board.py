"""The load board: where replicas say how loaded they are, and routers look.

Two keys a cluster in Redis: a hash with the last load of each replica, and a sorted set of the members, scored by
their last sign of life. All instants are Redis' own, so no two machines need to agree on the time. Three things are
kept apart: *membership* (a replica said that it is there, and has not left), *liveness* (when it last gave a sign of
life) and the *age of its load* (how long it has not said anything new). Old loads are trusted less, not forgotten; a
member is forgotten only after a long silence. docs/adr explains why loads are read and not broadcast.
"""

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import structlog
from google.protobuf.message import DecodeError
from niyama.v1 import load_pb2
from niyama_core.load import ReplicaLoad

from niyama_runtime import load_board_layout as layout
from niyama_runtime import wire
from niyama_runtime.redis_connection import Client, RedisConnection, RedisUnavailableError
from niyama_runtime.redis_settings import RedisSettings, RedisSettingsError

__all__ = [
    "Change",
    "LoadBoard",
    "LoadReader",
    "LoadReporter",
    "Member",
    "MembershipChange",
    "RedisSettings",
    "RedisSettingsError",
    "RedisUnavailableError",
    "Snapshot",
]

FORGET_AFTER_SECONDS = 3600.0
"""How long a silent member is remembered."""

_log = structlog.get_logger(__name__)


class Change(Enum):
    """What happened to a member."""

    JOINED = "joined"
    DRAINING = "draining"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """One replica that joined, began to drain, or left."""

    replica: str
    change: Change


@dataclass(frozen=True, slots=True)
class Member:
    """What the board knows of one replica.

    Attributes:
        replica: its name.
        silent_seconds: since its last sign of life.
        load: its last load; None when there is none, or none that can be read.
        load_age: seconds since it last said something new; None without a load. A reader that has just begun
            takes the last sign of life for it.
    """

    replica: str
    silent_seconds: float
    load: ReplicaLoad | None
    load_age: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The board at one moment: members by name, and how many entries were rubbish and left out."""

    members: Mapping[str, Member]
    num_rubbish: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a board lies, and how long it remembers."""

    redis: RedisConnection
    keys: layout.Keys
    forget_after: int


class LoadBoard:
    """One cluster's board. It gives reporters to agents and a reader to routers."""

    def __init__(self, settings: RedisSettings, cluster: str, *, forget_after: float = FORGET_AFTER_SECONDS) -> None:
        """Prepare the board of `cluster` (namespace/name); members silent for `forget_after` seconds are forgotten.

        Raises:
            RedisSettingsError: the settings make no sense.
        """
        keys = layout.Keys.of(cluster)
        self._redis = RedisConnection(settings, key=keys.loads)
        self._place = _Place(self._redis, keys, max(1, math.ceil(forget_after)))

    @property
    def is_available(self) -> bool:
        """Whether Redis did what was last asked of it; true before anything was."""
        return self._redis.is_available

    @property
    def num_faults(self) -> int:
        """How often Redis failed."""
        return self._redis.num_faults

    def reporter(self, replica: str) -> "LoadReporter":
        """Return the agent's side, for the replica of that name."""
        return LoadReporter(self._place, replica)

    def reader(self) -> "LoadReader":
        """Return the router's side. It remembers what it has read; keep one."""
        return LoadReader(self._place)

    async def listen(self) -> AsyncGenerator[MembershipChange, None]:
        """Yield changes as they happen, for ever; it connects again by itself and raises nothing.

        What happens while the connection is down is missed: read the board too.
        """
        async for message in self._redis.messages(self._place.keys.changes):
            change = _parsed_change(message)
            if change is not None:
                yield change

    async def close(self) -> None:
        """Close all connections; never fails."""
        await self._redis.close()


class LoadReporter:
    """One replica's pen. One task uses it."""

    def __init__(self, place: _Place, replica: str) -> None:
        self._place = place
        self._replica = replica
        self._last: ReplicaLoad | None = None

    async def publish(self, load: ReplicaLoad) -> None:
        """Write `load`, which is a sign of life too; routers are told at once of the first one and of a drain.

        Raises:
            RedisUnavailableError: nothing may have been written; the next load makes up for it.
        """
        message = wire.load_to_wire(load).SerializeToString()
        change = self._change(load)
        place, keys = self._place, self._place.keys
        await place.redis.run_script(
            layout.PUBLISH,
            keys=(keys.loads, keys.members),
            arguments=(self._replica, message, change.value if change else "", keys.changes, place.forget_after),
        )
        self._last = load

    async def touch(self) -> None:
        """Give a sign of life without a load, for a replica that has nothing new to say; only after a load.

        Raises:
            RedisUnavailableError: nothing may have been written.
        """
        members = self._place.keys.members
        await self._place.redis.run_script(layout.TOUCH, keys=(members,), arguments=(self._replica,))

    async def leave(self) -> None:
        """Take the replica off the board and tell the routers.

        Raises:
            RedisUnavailableError: it may still be there; silence will end its membership.
        """
        keys = self._place.keys
        await self._place.redis.run_script(
            layout.LEAVE, keys=(keys.loads, keys.members), arguments=(self._replica, keys.changes)
        )
        self._last = None

    def _change(self, load: ReplicaLoad) -> Change | None:
        """Return what routers should hear of at once, seen from the last load that was written for sure."""
        last = self._last
        if load.draining and not (last and last.draining):
            return Change.DRAINING
        if last is None or load.incarnation != last.incarnation:
            return Change.JOINED
        return None


@dataclass(frozen=True, slots=True)
class _Fetched:
    """The board as Redis has it: its time, members with their last sign of life, and raw loads by member."""

    time: float
    scores: Sequence[tuple[bytes, float]]
    loads: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A load as it was read: its bytes, what they mean, and the instant by Redis' clock since when it is known."""

    raw: bytes
    load: ReplicaLoad | None
    since: float


class LoadReader:
    """A router's eyes. One task uses it.

    Attributes:
        num_rubbish: entries that could not be read, since the start.
    """

    def __init__(self, place: _Place) -> None:
        self._place = place
        self._seen: dict[str, _Seen] = {}
        self.num_rubbish = 0

    async def read(self) -> Snapshot:
        """Return the board, by one round trip; members that were silent for too long are taken off it.

        Raises:
            RedisUnavailableError: nothing was read.
        """
        snapshot = self._snapshot(await self._place.redis.use(self._fetch))
        if snapshot.num_rubbish and not self.num_rubbish:
            _log.warning("load_board_rubbish", key=self._place.keys.loads, num_entries=snapshot.num_rubbish)
        self.num_rubbish += snapshot.num_rubbish
        return snapshot

    async def _fetch(self, client: Client) -> _Fetched:
        keys = self._place.keys
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.eval(layout.TIME_AND_FORGET, 2, keys.loads, keys.members, self._place.forget_after)
            pipeline.zrange(keys.members, 0, -1, withscores=True)
            pipeline.hgetall(keys.loads)
            (seconds, micros), scores, loads = await pipeline.execute()
        # Made into what they should be here, so that replies which are something else are Redis' fault.
        time = int(seconds) + int(micros) / 1e6
        return _Fetched(time, [(bytes(name), float(score)) for name, score in scores], dict(loads))

    def _snapshot(self, fetched: _Fetched) -> Snapshot:
        seen = self._see(fetched)
        members = {}
        for name, score in fetched.scores:
            replica = _text(name)
            members[replica] = _member(replica, seen.get(replica), silent=fetched.time - score, time=fetched.time)
        self._seen = seen
        return Snapshot(members, sum(each.load is None for each in seen.values()))

    def _see(self, fetched: _Fetched) -> dict[str, _Seen]:
        """Return the members' loads. One that was seen before is not parsed again, and is as old as it was."""
        seen = {}
        for name, score in fetched.scores:
            replica, raw = _text(name), fetched.loads.get(name)
            known = self._seen.get(replica)
            if raw is None:
                continue
            seen[replica] = known if known and known.raw == raw else _Seen(raw, _parsed_load(replica, raw), score)
        return seen


def _text(name: bytes) -> str:
    return name.decode(errors="replace")


def _member(replica: str, seen: _Seen | None, *, silent: float, time: float) -> Member:
    """Return the member; a clock of Redis that was put back makes nothing younger than new."""
    if seen is None or seen.load is None:
        return Member(replica, max(0.0, silent), load=None, load_age=None)
    return Member(replica, max(0.0, silent), load=seen.load, load_age=max(0.0, time - seen.since))


def _parsed_load(replica: str, raw: bytes) -> ReplicaLoad | None:
    """Return the load of `replica`, or None when the bytes are no load or another's."""
    try:
        load = wire.load_from_wire(load_pb2.ReplicaLoad.FromString(raw))
    except (DecodeError, wire.WireError):
        return None
    return load if load.replica == replica else None


def _parsed_change(message: bytes) -> MembershipChange | None:
    """Return the change that `message` tells of, or None for one that no version of ours has sent."""
    change, _, replica = message.decode(errors="replace").partition(" ")
    try:
        return MembershipChange(replica, Change(change)) if replica else None
    except ValueError:
        return None
