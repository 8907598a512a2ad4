"""The load board: where replicas say how loaded they are, and routers look.

Two keys a cluster in Redis: a hash with the last load of each replica, and a sorted set of the members, scored by
their last sign of life. All instants are Redis' own, so no two machines need to agree on the time. Three things are
kept apart: *membership* (a replica said that it is there, and has not left), *liveness* (when it last gave a sign of
life) and the *age of its load* (how long it has not said anything new). Old loads are trusted less, not forgotten; a
member is forgotten only after a long silence. docs/adr explains why loads are read and not broadcast.
"""

import math
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from enum import Enum

import structlog
from google.protobuf.message import DecodeError
from niyama.v1 import load_pb2
from niyama_core.load import ReplicaLoad

from niyama_runtime import wire
from niyama_runtime.redis_connection import (
    Client,
    RedisConnection,
    RedisSettings,
    RedisSettingsError,
    RedisUnavailableError,
)

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

# KEYS: loads, members. ARGV: replica, load, change to announce or '', channel, seconds until all is forgotten.
_PUBLISH = """
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local joined = redis.call('ZADD', KEYS[2], string.format('%d.%06d', t[1], t[2]), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
local change = ARGV[3]
if change == '' and joined == 1 then change = 'joined' end
if change ~= '' then redis.call('PUBLISH', ARGV[4], change .. ' ' .. ARGV[1]) end
"""

# KEYS: members. ARGV: replica.
_TOUCH = """
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], 'XX', string.format('%d.%06d', t[1], t[2]), ARGV[1])
"""

# KEYS: loads, members. ARGV: replica, channel.
_LEAVE = """
redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('ZREM', KEYS[2], ARGV[1]) == 1 then redis.call('PUBLISH', ARGV[2], 'left ' .. ARGV[1]) end
"""

# KEYS: loads, members. ARGV: seconds of silence after which a member is forgotten.
_TIME_AND_FORGET = """
local t = redis.call('TIME')
local bound = string.format('%d.%06d', t[1] - ARGV[1], t[2])
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', bound, 'LIMIT', 0, 1000)
if #gone > 0 then
  redis.call('ZREM', KEYS[2], unpack(gone))
  redis.call('HDEL', KEYS[1], unpack(gone))
end
return t
"""


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
class _Keys:
    """The names of one cluster's keys. The braces keep them on one node of a Redis Cluster."""

    loads: str
    members: str
    changes: str

    @classmethod
    def of(cls, cluster: str) -> "_Keys":
        prefix = f"niyama:{{{cluster}}}"
        return cls(f"{prefix}:loads", f"{prefix}:members", f"{prefix}:changes")


class LoadBoard:
    """One cluster's board. It gives reporters to agents and a reader to routers."""

    def __init__(self, settings: RedisSettings, cluster: str, *, forget_after: float = FORGET_AFTER_SECONDS) -> None:
        """Prepare the board of `cluster` (namespace/name); members silent for `forget_after` seconds are forgotten.

        Raises:
            RedisSettingsError: the settings make no sense.
        """
        self._redis = RedisConnection(settings)
        self._timeout = settings.timeout
        self._keys = _Keys.of(cluster)
        self._forget_after = max(1, math.ceil(forget_after))

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
        return LoadReporter(self._redis, self._keys, replica, self._forget_after)

    def reader(self) -> "LoadReader":
        """Return the router's side. It remembers what it has read; keep one."""
        return LoadReader(self._redis, self._keys, self._forget_after)

    async def listen(self) -> AsyncGenerator[MembershipChange, None]:
        """Yield changes as they happen, for ever; it connects again by itself and raises nothing.

        What happens while the connection is down is missed: read the board too.
        """
        async for message in self._redis.messages(self._keys.changes):
            change = _parsed_change(message)
            if change is not None:
                yield change

    async def close(self) -> None:
        """Close all connections; never fails."""
        await self._redis.close()


class LoadReporter:
    """One replica's pen. One task uses it."""

    def __init__(self, connection: RedisConnection, keys: _Keys, replica: str, forget_after: int) -> None:
        self._redis = connection
        self._keys = keys
        self._replica = replica
        self._forget_after = forget_after
        self._last: ReplicaLoad | None = None

    async def publish(self, load: ReplicaLoad) -> None:
        """Write `load`, which is a sign of life too; routers are told at once of the first one and of a drain.

        Raises:
            RedisUnavailableError: nothing may have been written; the next load makes up for it.
        """
        message = wire.load_to_wire(load).SerializeToString()
        change = self._change(load)
        keys = self._keys
        await self._redis.run_script(
            _PUBLISH,
            (keys.loads, keys.members),
            (self._replica, message, change.value if change else "", keys.changes, self._forget_after),
        )
        self._last = load

    async def touch(self) -> None:
        """Give a sign of life without a load, for a replica that has nothing new to say; only after a load.

        Raises:
            RedisUnavailableError: nothing may have been written.
        """
        await self._redis.run_script(_TOUCH, (self._keys.members,), (self._replica,))

    async def leave(self) -> None:
        """Take the replica off the board and tell the routers.

        Raises:
            RedisUnavailableError: it may still be there; silence will end its membership.
        """
        keys = self._keys
        await self._redis.run_script(_LEAVE, (keys.loads, keys.members), (self._replica, keys.changes))
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
class _Seen:
    """A load as it was read: its bytes, what they mean, and the instant by Redis' clock from which it is known."""

    raw: bytes
    load: ReplicaLoad | None
    since: float


class LoadReader:
    """A router's eyes. One task uses it.

    Attributes:
        num_rubbish: entries that could not be read, since the start.
    """

    def __init__(self, connection: RedisConnection, keys: _Keys, forget_after: int) -> None:
        self._redis = connection
        self._keys = keys
        self._forget_after = forget_after
        self._seen: dict[str, _Seen] = {}
        self.num_rubbish = 0

    async def read(self) -> Snapshot:
        """Return the board, by one round trip; members that were silent for too long are taken off it.

        Raises:
            RedisUnavailableError: nothing was read.
        """
        time, scores, loads = await self._redis.use(self._fetch)
        snapshot = self._snapshot(time, scores, loads)
        if snapshot.num_rubbish and not self.num_rubbish:
            _log.warning("load_board_rubbish", key=self._keys.loads, num_entries=snapshot.num_rubbish)
        self.num_rubbish += snapshot.num_rubbish
        return snapshot

    async def _fetch(self, client: Client) -> tuple[float, list[tuple[bytes, float]], dict[bytes, bytes]]:
        """Return Redis' time, members with their last sign of life, and raw loads."""
        keys = self._keys
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.execute_command("EVAL", _TIME_AND_FORGET, 2, keys.loads, keys.members, self._forget_after)
            pipeline.zrange(keys.members, 0, -1, withscores=True)
            pipeline.hgetall(keys.loads)
            (seconds, micros), scores, loads = await pipeline.execute()
        return int(seconds) + int(micros) / 1e6, scores, loads

    def _snapshot(self, time: float, scores: list[tuple[bytes, float]], loads: dict[bytes, bytes]) -> Snapshot:
        members: dict[str, Member] = {}
        seen: dict[str, _Seen] = {}
        num_rubbish = 0
        for name, score in scores:
            replica = name.decode(errors="replace")
            raw = loads.get(name)
            if raw is not None:
                seen[replica] = self._seen_load(replica, raw, score)
                num_rubbish += seen[replica].load is None
            members[replica] = _member(replica, time - score, time, seen.get(replica))
        self._seen = seen
        return Snapshot(members, num_rubbish)

    def _seen_load(self, replica: str, raw: bytes, score: float) -> _Seen:
        """Return the load as it was seen before, when it is the same: not parsed again, and as old as it is."""
        known = self._seen.get(replica)
        return known if known and known.raw == raw else _Seen(raw, _parsed_load(replica, raw), score)


def _member(replica: str, silent: float, time: float, seen: _Seen | None) -> Member:
    """Return the member; a clock of Redis that was put back makes nothing younger than new."""
    if seen is None or seen.load is None:
        return Member(replica, max(0.0, silent), None, None)
    return Member(replica, max(0.0, silent), seen.load, max(0.0, time - seen.since))


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
