"""The loops that keep the directory fresh, and the connections that they keep open."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence

import pytest
from niyama_core.load import ReplicaLoad
from niyama_router import watch
from niyama_router.directory import Directory
from niyama_router.load_store import BoardSource, Sighting
from niyama_router.replica_client import ReplicaClients
from niyama_router.seeds import Seeds
from niyama_router.watch import Watch
from niyama_runtime.clock import MonotonicClock
from niyama_runtime.load_board import Change, LoadBoard, MembershipChange, RedisSettings

from tests.router.harness import until


class ScriptedBoard(BoardSource):
    """A board that says what a test wants, and counts how often it is looked at."""

    def __init__(self) -> None:
        super().__init__(LoadBoard(RedisSettings("redis://127.0.0.1:1"), "tests/cluster"))
        self.names: Collection[str] = ()
        self.num_looks = 0
        self.announced: asyncio.Queue[MembershipChange] = asyncio.Queue()

    async def look(self) -> Sequence[Sighting]:
        self.num_looks += 1
        return [Sighting(ReplicaLoad(name, f"127.0.0.1:{ord(name)}", incarnation=1), 0.0, 0.0) for name in self.names]

    async def changes(self) -> AsyncIterator[MembershipChange]:
        while True:
            yield await self.announced.get()


async def test_a_replica_that_joins_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_READ_SECONDS", 60.0)
    board, directory = ScriptedBoard(), Directory()
    watching = asyncio.create_task(
        Watch(directory, ReplicaClients(), board=board, seeds=Seeds(()), clock=MonotonicClock()).run()
    )
    await asyncio.sleep(0.05)
    assert board.num_looks == 0
    board.names = "a"
    board.announced.put_nowait(MembershipChange("a", Change.JOINED))
    await until(lambda: len(directory) == 1)
    watching.cancel()


async def test_connections_to_replicas_that_are_gone_are_closed() -> None:
    board, directory, clients = ScriptedBoard(), Directory(), ReplicaClients()
    looking = Watch(directory, clients, board=board, seeds=Seeds(["127.0.0.1:1"]), clock=MonotonicClock())
    board.names = "ab"
    await looking.look_once()
    before = [clients.at(f"127.0.0.1:{ord(name)}") for name in "ab"]
    seed = clients.at("127.0.0.1:1")
    directory.hear(MembershipChange("b", Change.LEFT), MonotonicClock().now())
    board.names = "a"
    await looking.look_once()
    after = [clients.at(f"127.0.0.1:{ord(name)}") for name in "ab"]
    assert [old is new for old, new in zip(before, after, strict=True)] == [True, False]
    assert clients.at("127.0.0.1:1") is seed
    await clients.close()
