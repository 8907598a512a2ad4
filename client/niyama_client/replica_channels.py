"""Connections to replicas themselves, and what is known of whether they can be made from here."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import grpc
from niyama.v1 import replica_pb2_grpc

from niyama_client.connection import Target, open_channel

__all__ = ["Reachability", "ReplicaChannels", "UnreachableError"]

_CONNECT_SECONDS = 1.0
_REMEMBER_SECONDS = 30.0


class UnreachableError(Exception):
    """No connection to a replica's address comes about within a second."""


class Reachability:
    """Whether it makes sense to try a replica's address.

    Where one was reached lately, a miss is that replica's; where none was, it is the network's, and not tried again for
    half a minute.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """Begin without knowing anything; `now` reads a clock that never goes back."""
        self._now = now
        self._reached_at: float | None = None
        self._missed_at: float | None = None

    @property
    def is_likely(self) -> bool:
        """Whether to try."""
        return not self._is_recent(self._missed_at)

    def note_reached(self) -> None:
        """Take in that a replica answered."""
        self._reached_at, self._missed_at = self._now(), None

    def note_missed(self) -> None:
        """Take in that one did not."""
        if not self._is_recent(self._reached_at):
            self._missed_at = self._now()

    def _is_recent(self, instant: float | None) -> bool:
        return instant is not None and self._now() - instant < _REMEMBER_SECONDS


@dataclass(slots=True, eq=False)
class _Line:
    """A channel, and how many streams use it."""

    channel: grpc.aio.Channel
    stub: "replica_pb2_grpc.ReplicaAsyncStub"
    num_users: int = 0


class ReplicaChannels:
    """The channels by address; those that nobody uses and that have broken are closed.

    Attributes:
        reachability: what has been learnt by connecting.
    """

    def __init__(self, target: Target) -> None:
        """Speak to replicas as to the routers of `target`."""
        self._target = target
        self._lines: dict[str, _Line] = {}
        self.reachability = Reachability(lambda: asyncio.get_running_loop().time())

    @asynccontextmanager
    async def at(self, address: str) -> AsyncGenerator["replica_pb2_grpc.ReplicaAsyncStub", None]:
        """Yield the stub of the replica at `host:port`, to which there is a connection.

        Raises:
            UnreachableError: there is none.
        """
        line = self._lines.get(address)
        if line is None:
            line = self._lines[address] = self._open(address)
        line.num_users += 1
        try:
            await self._connect(line, address)
            yield line.stub
        finally:
            line.num_users -= 1
            if not line.num_users and line.channel.get_state() is not grpc.ChannelConnectivity.READY:
                await self._drop(address, line)

    async def close(self) -> None:
        """Close all channels; streams that are open are cancelled."""
        lines, self._lines = self._lines, {}
        for line in lines.values():
            await line.channel.close()

    def _open(self, address: str) -> _Line:
        channel = open_channel(replace(self._target, address=address))
        return _Line(channel, replica_pb2_grpc.ReplicaStub(channel))

    async def _connect(self, line: _Line, address: str) -> None:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await _ready(line.channel)
        except (TimeoutError, ConnectionError):
            self.reachability.note_missed()
            raise UnreachableError(f"there is no way from here to {address}") from None
        self.reachability.note_reached()

    async def _drop(self, address: str, line: _Line) -> None:
        if self._lines.get(address) is line:
            del self._lines[address]
        await line.channel.close()


async def _ready(channel: grpc.aio.Channel) -> None:
    """Wait for a connection.

    Raises:
        ConnectionError: the other end refuses it.
    """
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            raise ConnectionError
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
