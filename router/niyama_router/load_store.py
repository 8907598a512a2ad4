"""Where a router hears of replicas: the seam, and the load board in Redis behind it.

A source says which replicas it has sighted. The board is one; `probe` asks the replicas themselves, at the addresses
that `seeds` knows, and is another. None of them is the truth: `directory` joins what they say.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from niyama_core.load import ReplicaLoad
from niyama_runtime.load_board import LoadBoard, Member, MembershipChange, RedisUnavailableError

__all__ = ["BoardSource", "ReplicaSource", "Sighting", "SourceAwayError"]


class SourceAwayError(Exception):
    """A source cannot say anything at the moment. That is no statement about any replica."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a source says of one replica.

    Attributes:
        load: its last load.
        load_age: seconds since it said something new.
        silent_seconds: seconds since it last gave a sign of life.
        is_direct: whether the replica itself said so to this very router.
    """

    load: ReplicaLoad
    load_age: float
    silent_seconds: float
    is_direct: bool = False


class ReplicaSource(Protocol):
    """Knows replicas."""

    async def look(self) -> Sequence[Sighting]:
        """Return every replica that it knows.

        Raises:
            SourceAwayError: it cannot say.
        """
        ...


class BoardSource:
    """The load board: one pipelined read, however many replicas there are."""

    def __init__(self, board: LoadBoard) -> None:
        """Read `board`; nothing is sent before the first look."""
        self._board = board
        self._reader = board.reader()

    @property
    def is_connected(self) -> bool:
        """Whether Redis answered when it was last asked."""
        return self._board.is_available

    async def look(self) -> Sequence[Sighting]:
        """Return the members whose load can be read: without one, a member's address is not known.

        Raises:
            SourceAwayError: Redis is away.
        """
        try:
            snapshot = await self._reader.read()
        except RedisUnavailableError as error:
            raise SourceAwayError(str(error)) from error
        return [sighting for member in snapshot.members.values() if (sighting := _sighting(member)) is not None]

    def changes(self) -> AsyncIterator[MembershipChange]:
        """Yield who joins, drains and leaves, at once and for ever; changes while Redis is away are missed."""
        return self._board.listen()

    async def close(self) -> None:
        """Close the connections."""
        await self._board.close()


def _sighting(member: Member) -> Sighting | None:
    if member.load is None or member.load_age is None:
        return None
    return Sighting(member.load, load_age=member.load_age, silent_seconds=member.silent_seconds)
