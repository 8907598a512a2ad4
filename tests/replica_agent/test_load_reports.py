"""What routers learn of a replica through a real Redis, and what happens without it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from urllib.request import urlopen

import pytest
from niyama_core.load import ReplicaLoad
from niyama_runtime.embedded_redis import EmbeddedRedis
from niyama_runtime.load_board import LoadBoard, LoadReader, RedisSettings, RedisUnavailableError

from tests.replica_agent.agents import Running, a_message, running_agent

CLUSTER = "default/llama"


@pytest.fixture
async def redis_server() -> AsyncIterator[EmbeddedRedis]:
    """A Redis of the test's own."""
    async with EmbeddedRedis() as server:
        yield server


@pytest.fixture
async def reader(redis_server: EmbeddedRedis) -> AsyncIterator[LoadReader]:
    """A router's view of the board."""
    board = LoadBoard(RedisSettings(redis_server.url), CLUSTER)
    yield board.reader()
    await board.close()


@pytest.fixture
async def running(redis_server: EmbeddedRedis) -> AsyncIterator[Running]:
    """An agent that reports there."""
    async with running_agent(redis={"url": redis_server.url}, metrics="127.0.0.1:0") as agent:
        yield agent


async def reported(reader: LoadReader, wanted: Callable[[ReplicaLoad], bool]) -> ReplicaLoad:
    """Wait until the replica's load on the board is as wanted."""
    async with asyncio.timeout(5):
        while True:
            try:
                member = (await reader.read()).members.get("llama-0")
            except RedisUnavailableError:
                member = None
            if member is not None and member.load is not None and wanted(member.load):
                return member.load
            await asyncio.sleep(0.01)


async def metric(running: Running, name: str) -> float:
    """Return the sum of a metric's values, as a scrape sees them."""
    with await asyncio.to_thread(urlopen, f"http://{running.endpoints.metrics}/metrics") as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


async def board_is(running: Running, *, up: bool) -> None:
    """Wait until the metrics say whether Redis answers."""
    async with asyncio.timeout(5):
        while await metric(running, "niyama_load_board_up") != up:  # noqa: ASYNC110, another task's state
            await asyncio.sleep(0.02)


async def test_an_agent_says_where_it_is_and_what_it_serves(reader: LoadReader, running: Running) -> None:
    load = await reported(reader, lambda load: True)
    assert load.address == running.endpoints.grpc
    assert (load.engine, load.model, load.bytes_per_token) == ("paced", "llama", 4.0)
    assert load.context_tokens == 16_384
    assert not load.draining


async def test_work_shows_on_the_board_and_goes_again(reader: LoadReader, running: Running) -> None:
    before = await reported(reader, lambda load: True)
    call = running.caller.stub.Generate(a_message(prompt="x" * 8000, output=4000))
    busy = await reported(reader, lambda load: load.kv_used_tokens >= 2000)
    assert busy.classes["chat"].num_decoding == 1
    assert busy.tightest_slack is not None
    assert busy.sequence > before.sequence
    call.cancel()
    idle = await reported(reader, lambda load: load.kv_used_tokens == 0)
    assert idle.incarnation == before.incarnation


async def test_a_drain_shows_and_the_end_takes_the_replica_off_the_board(reader: LoadReader, running: Running) -> None:
    call = running.caller.stub.Generate(a_message(output=4000))
    await reported(reader, lambda load: load.kv_used_tokens > 0)
    running.stop.set()
    await reported(reader, lambda load: load.draining)
    call.cancel()
    async with asyncio.timeout(5):
        await running.served
    assert (await reader.read()).members == {}


async def test_a_board_that_was_emptied_is_written_anew_without_any_change(
    reader: LoadReader, running: Running, redis_server: EmbeddedRedis
) -> None:
    first = await reported(reader, lambda load: True)
    stream_reader, writer = await asyncio.open_connection("127.0.0.1", redis_server.port)
    writer.write(b"FLUSHALL\r\n")
    assert await stream_reader.readline() == b"+OK\r\n"
    writer.close()
    assert (await reader.read()).members == {}
    again = await reported(reader, lambda load: True)
    assert again == first


async def test_without_redis_requests_are_served_and_reports_resume_when_it_is_back(
    redis_server: EmbeddedRedis,
) -> None:
    port = redis_server.port
    async with running_agent(redis={"url": redis_server.url}, metrics="127.0.0.1:0") as running:
        await redis_server.stop()
        await board_is(running, up=False)
        answer = await running.caller.generate(a_message(output=50))
        assert answer.completion.on_time
        async with EmbeddedRedis(port) as back:
            board = LoadBoard(RedisSettings(back.url), CLUSTER)
            await reported(board.reader(), lambda load: load.address == running.endpoints.grpc)
            await board.close()
            await board_is(running, up=True)


async def test_an_agent_without_a_redis_ever_there_starts_and_serves() -> None:
    async with running_agent(redis={"url": "redis://127.0.0.1:1/0"}) as running:
        answer = await running.caller.generate(a_message(output=5))
        assert answer.completion.num_output_tokens == 5
        assert (await running.caller.load()).address == running.endpoints.grpc


async def test_a_scrape_tells_what_was_done() -> None:
    async with running_agent(metrics="127.0.0.1:0") as running:
        await running.caller.generate(a_message("chat", prompt="x" * 400, output=20))
        await running.caller.generate(a_message("late", prompt="x" * 400, output=4, elapsed={"seconds": 100}))
        counts = {
            "niyama_engine_iteration_seconds_count": 24,
            "niyama_engine_prefill_tokens_total": 200,
            "niyama_engine_decode_tokens_total": 22,
            "niyama_engine_requests_total": 2,
            "niyama_engine_requests_on_time_total": 1,
            "niyama_engine_late_tokens_total": 1,
            "niyama_engine_relegations_total": 1,
            "niyama_engine_kv_capacity_tokens": 430_000,
            "niyama_build_info": 1,
        }
        assert {name: await metric(running, name) for name in counts} == counts
