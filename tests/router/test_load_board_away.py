"""A router and its load board: found, lost, emptied, told of changes; requests go on in any case."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from niyama.v1 import inference_pb2
from niyama_runtime.embedded_redis import EmbeddedRedis
from niyama_runtime.load_board import LoadBoard, LoadReporter, RedisSettings

from tests.router.conftest import StartReplica
from tests.router.harness import RouterUnderTest, until
from tests.router.scripted_replica import ScriptedReplica, answering

CONNECTED = inference_pb2.LOAD_BOARD_STATE_CONNECTED
DISCONNECTED = inference_pb2.LOAD_BOARD_STATE_DISCONNECTED

Register = Callable[[ScriptedReplica], Awaitable[LoadReporter]]


@pytest.fixture
async def redis() -> AsyncIterator[EmbeddedRedis]:
    async with EmbeddedRedis() as server:
        yield server


@pytest.fixture
async def register(redis: EmbeddedRedis) -> AsyncIterator[Register]:
    """A function that puts a replica on the board, once."""
    board = LoadBoard(RedisSettings(redis.url), "tests/cluster")

    async def put(replica: ScriptedReplica) -> LoadReporter:
        replica.load = replace(replica.load, address=replica.address)
        reporter = board.reporter(replica.name)
        await reporter.publish(replica.load)
        return reporter

    yield put
    await board.close()


def placeable(status: inference_pb2.ClusterStatusResponse) -> set[str]:
    return {each.load.replica for each in status.replicas if each.placeable}


async def is_placeable(router: RouterUnderTest, *names: str) -> None:
    async def holds() -> bool:
        return placeable(await router.status()) == set(names)

    await until(holds)


def on_redis(redis: EmbeddedRedis, **settings: object) -> RouterUnderTest:
    return RouterUnderTest(redis={"url": redis.url}, **settings)


async def test_a_replica_that_registers_while_a_request_waits_serves_it(
    redis: EmbeddedRedis, register: Register, start_replica: StartReplica
) -> None:
    async with on_redis(redis, placementWait="5s") as router:
        asked = asyncio.create_task(router.generate())
        await asyncio.sleep(0.1)
        await register(await start_replica("late"))
        assert (await asked).completion.replica == "late"


async def test_members_are_not_asked_for_what_the_board_says(
    redis: EmbeddedRedis, register: Register, start_replica: StartReplica
) -> None:
    replica = await start_replica("a")
    await register(replica)
    async with on_redis(redis) as router:
        await is_placeable(router, "a")
        asked_before = replica.num_asked
        await asyncio.sleep(0.6)
        assert replica.num_asked == asked_before


async def test_a_replica_that_leaves_is_gone_at_once(
    redis: EmbeddedRedis, register: Register, start_replica: StartReplica
) -> None:
    staying, leaving = await start_replica("staying"), await start_replica("leaving")
    await register(staying)
    reporter = await register(leaving)
    async with on_redis(redis) as router:
        await is_placeable(router, "staying", "leaving")
        await reporter.leave()
        await is_placeable(router, "staying")


async def test_without_redis_the_router_goes_on_says_so_and_recovers(
    redis: EmbeddedRedis, register: Register, start_replica: StartReplica
) -> None:
    replica = await start_replica("a", answering(2))
    await register(replica)
    async with on_redis(redis) as router:
        await is_placeable(router, "a")
        assert (await router.status()).load_board == CONNECTED
        await redis.stop()
        await until(lambda: board_is(router, DISCONNECTED))
        assert (await router.generate()).completion.replica == "a"
        asked_before = replica.num_asked
        await until(lambda: replica.num_asked >= asked_before + 2, within=1.0)
        await redis.start()
        await until(lambda: board_is(router, CONNECTED))
        # The new Redis is empty, and this replica does not register again: it is known, and answers.
        await asyncio.sleep(0.3)
        assert (await router.generate()).completion.replica == "a"
        assert placeable(await router.status()) == {"a"}


async def test_a_replica_that_dies_while_redis_is_away_is_noticed(
    redis: EmbeddedRedis, register: Register, start_replica: StartReplica
) -> None:
    alive, dying = await start_replica("alive"), await start_replica("dying")
    await register(alive)
    await register(dying)
    async with on_redis(redis) as router:
        await is_placeable(router, "alive", "dying")
        await redis.stop()
        await dying.stop()
        answers = await asyncio.gather(*(router.generate() for _ in range(10)))
        assert {answer.completion.replica for answer in answers} == {"alive"}
        await is_placeable(router, "alive")


async def test_a_router_starts_without_redis_and_finds_its_replicas_when_it_comes(
    register: Register, redis: EmbeddedRedis, start_replica: StartReplica
) -> None:
    replica = await start_replica("a")
    await redis.stop()
    async with on_redis(redis, placementWait="100ms") as router:
        answer = await router.generate()
        assert answer.failure is not None
        assert answer.failure.reason == "NO_REPLICA"
        await redis.start()
        await asyncio.sleep(0.2)
        await register(replica)
        await is_placeable(router, "a")


async def test_rubbish_on_the_board_hides_no_replica(
    redis: EmbeddedRedis, register: Register, start_replica: StartReplica
) -> None:
    await register(await start_replica("a"))
    reader, writer = await asyncio.open_connection("127.0.0.1", redis.port)
    writer.write(b"HSET niyama:{tests/cluster}:loads b rubbish\r\nZADD niyama:{tests/cluster}:members 1 b\r\n")
    writer.write(b"PUBLISH niyama:{tests/cluster}:changes nonsense\r\n")
    await reader.readline()
    writer.close()
    async with on_redis(redis) as router:
        await is_placeable(router, "a")
        assert (await router.generate()).completion.replica == "a"


async def board_is(router: RouterUnderTest, state: inference_pb2.LoadBoardState) -> bool:
    return (await router.status()).load_board == state


@pytest.mark.parametrize(
    "commands",
    [
        b"CONFIG SET maxmemory 1\r\n",
        b"FLUSHALL\r\n",
        b"DEL niyama:{tests/cluster}:loads\r\nSET niyama:{tests/cluster}:loads rubbish\r\n",
        b"DEL niyama:{tests/cluster}:members\r\nSET niyama:{tests/cluster}:members rubbish\r\n",
        b"HSET niyama:{tests/cluster}:loads a rubbish\r\n",
    ],
    ids=["full", "flushed", "loads of another kind", "members of another kind", "loads that are rubbish"],
)
async def test_whatever_becomes_of_the_board_replicas_are_asked_and_requests_go_on(
    redis: EmbeddedRedis, register: Register, start_replica: StartReplica, commands: bytes
) -> None:
    """The replica writes nothing any more either, as its agent could not."""
    replica = await start_replica("a", answering(1))
    await register(replica)
    async with on_redis(redis) as router:
        await is_placeable(router, "a")
        reader, writer = await asyncio.open_connection("127.0.0.1", redis.port)
        writer.write(commands)
        for _ in range(commands.count(b"\n")):
            await reader.readline()
        asked_before = replica.num_asked
        await until(lambda: replica.num_asked >= asked_before + 3)
        assert placeable(await router.status()) == {"a"}
        assert (await router.generate()).completion.replica == "a"
        writer.close()
        await writer.wait_closed()
