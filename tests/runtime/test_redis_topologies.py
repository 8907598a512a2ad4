"""The load board on a Redis under Sentinels and in a cluster, whose place changes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from niyama_core.load import ReplicaLoad
from niyama_runtime.load_board import Change, LoadBoard, LoadReporter, MembershipChange, RedisSettings
from niyama_runtime.redis_connection import RedisUnavailableError
from niyama_runtime.redis_settings import RedisSettingsError
from redis.crc import key_slot

from tests.runtime.redis_servers import MASTER, cluster, give_slot, programs, running, sentinels

CLUSTER = "default/llama"
LOAD = ReplicaLoad("a", "a:50051", sequence=1, incarnation=7)

with_each_server = pytest.mark.parametrize("program", programs(), ids=str)


@contextlib.asynccontextmanager
async def a_board(url: str) -> AsyncIterator[LoadBoard]:
    # More than the half second that is usual: what is shown is where one goes, not how fast.
    board = LoadBoard(RedisSettings(url, timeout=2.0), CLUSTER)
    try:
        yield board
    finally:
        await board.close()


def url_of(scheme: str, *ports: int, path: str = "") -> str:
    return f"{scheme}://{','.join(f'127.0.0.1:{port}' for port in ports)}{path}"


async def publish(reporter: LoadReporter, load: ReplicaLoad) -> None:
    """Publish, as agents do, until it succeeds."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(RedisUnavailableError):
                return await reporter.publish(load)
            await asyncio.sleep(0.05)


async def read(board: LoadBoard) -> ReplicaLoad | None:
    """Read, as routers do, until it succeeds."""
    reader = board.reader()
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(RedisUnavailableError):
                member = (await reader.read()).members.get("a")
                return member.load if member else None
            await asyncio.sleep(0.05)


# What is in the second block needs what the first one made.
# ruff: noqa: SIM117


@with_each_server
@pytest.mark.slow
async def test_the_board_follows_the_master_that_sentinels_elect(program: Path, tmp_path: Path) -> None:
    async with running(program, tmp_path) as master, running(program, tmp_path) as other:
        async with sentinels(program, tmp_path, [master, other]) as watching:
            url = url_of("redis-sentinel", 1, *(sentinel.port for sentinel in watching), path=f"/{MASTER}")
            async with a_board(url) as agent, a_board(url) as router:
                reporter = agent.reporter("a")
                await publish(reporter, LOAD)
                assert await read(router) == LOAD
                assert await master.client.keys()
                await master.kill()
                later = replace(LOAD, sequence=2)
                await publish(reporter, later)
                assert await read(router) == later
                assert (await other.client.info("replication"))["role"] == "master"


@with_each_server
async def test_the_board_follows_its_slot_from_node_to_node(program: Path, tmp_path: Path) -> None:
    slot = key_slot(f"niyama:{{{CLUSTER}}}:loads".encode())
    async with cluster(program, tmp_path) as (first, second):
        async with a_board(url_of("redis-cluster", 1, second.port, first.port)) as board:
            reporter = board.reporter("a")
            await publish(reporter, LOAD)
            assert await read(board) == LOAD
            await first.client.flushall()
            await give_slot(slot, origin=first, target=second)
            await publish(reporter, LOAD)
            assert await read(board) == LOAD
            assert len(await second.client.keys()) == 2


@with_each_server
async def test_changes_are_heard_in_a_cluster(program: Path, tmp_path: Path) -> None:
    async with cluster(program, tmp_path) as (first, second), a_board(url_of("redis-cluster", second.port)) as board:
        heard = asyncio.Queue[MembershipChange]()

        async def listen() -> None:
            async for change in board.listen():
                heard.put_nowait(change)

        listening = asyncio.create_task(listen())
        try:
            async with asyncio.timeout(20):
                while heard.empty():
                    await publish(board.reporter("a"), LOAD)
                    await asyncio.sleep(0.05)
            assert heard.get_nowait() == MembershipChange("a", Change.JOINED)
        finally:
            listening.cancel()
            await asyncio.wait([listening])
        assert len(await first.client.keys()) == 2


async def test_where_nobody_knows_the_way_is_one_error() -> None:
    for url in (url_of("redis-sentinel", 1, path=f"/{MASTER}"), url_of("redis-cluster", 1)):
        async with a_board(url) as board:
            with pytest.raises(RedisUnavailableError, match=r"127\.0\.0\.1:1 is away"):
                await board.reader().read()


@pytest.mark.parametrize(
    "url", ["redis-sentinel://here:26379", "redis-sentinel://here/m", "redis-cluster://", "sentinel://a:1"]
)
def test_a_url_of_several_that_says_too_little_is_refused(url: str) -> None:
    with pytest.raises(RedisSettingsError, match=r"redis-sentinel://HOST:PORT"):
        LoadBoard(RedisSettings(url), CLUSTER)
