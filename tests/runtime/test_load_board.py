"""What agents write on the board is what routers read, and Redis may come and go."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from niyama_core.load import ClassLoad, ReplicaLoad
from niyama_runtime import redis_connection, wire
from niyama_runtime.embedded_redis import EmbeddedRedis
from niyama_runtime.load_board import (
    Change,
    LoadBoard,
    LoadReader,
    LoadReporter,
    MembershipChange,
    RedisSettings,
    RedisUnavailableError,
)
from redis.crc import key_slot

ADR = Path(__file__, "../../../docs/adr/0006-load-board.md").resolve()
CLUSTER = "default/llama"
LOADS, MEMBERS, CHANGES = (f"niyama:{{{CLUSTER}}}:{name}" for name in ("loads", "members", "changes"))


def a_load(replica: str = "a", sequence: int = 1, *, draining: bool = False) -> ReplicaLoad:
    return ReplicaLoad(
        replica, f"{replica}:50051", sequence, 7, {"chat": ClassLoad(num_queued=sequence)}, draining=draining
    )


@pytest.fixture
async def board(redis_server: EmbeddedRedis) -> AsyncIterator[LoadBoard]:
    made = LoadBoard(RedisSettings(redis_server.url), CLUSTER)
    yield made
    await made.close()


async def _eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def _heard(board: LoadBoard, raw: redis.asyncio.Redis) -> AsyncIterator[list[MembershipChange]]:
    """Yield a list that fills with what is heard."""
    heard: list[MembershipChange] = []

    async def listen() -> None:
        async for change in board.listen():
            heard.append(change)  # noqa: PERF401, to be looked at meanwhile

    task = asyncio.create_task(listen())
    await _eventually(lambda: _has_listener(raw))
    yield heard
    task.cancel()
    await asyncio.wait([task])


async def _has_listener(raw: redis.asyncio.Redis) -> bool:
    try:
        return bool((await raw.pubsub_numsub(CHANGES))[0][1])
    except (redis.RedisError, OSError):
        return False


async def _backdate(raw: redis.asyncio.Redis, replica: str, seconds: float) -> None:
    """Make the last sign of life of `replica` older."""
    await raw.zincrby(MEMBERS, -seconds, replica)


async def test_what_is_published_is_read(board: LoadBoard) -> None:
    await board.reporter("a").publish(a_load("a"))
    await board.reporter("b").publish(a_load("b", 2))
    members = (await board.reader().read()).members
    assert {name: member.load for name, member in members.items()} == {"a": a_load("a"), "b": a_load("b", 2)}
    assert all(0 <= member.silent_seconds < 5 for member in members.values())


async def test_an_empty_board_is_no_error(board: LoadBoard) -> None:
    snapshot = await board.reader().read()
    assert (snapshot.members, snapshot.num_rubbish) == ({}, 0)


async def test_clusters_do_not_see_each_other(board: LoadBoard, redis_server: EmbeddedRedis) -> None:
    other = LoadBoard(RedisSettings(redis_server.url), "default/other")
    await other.reporter("a").publish(a_load())
    assert (await board.reader().read()).members == {}
    await other.close()


async def test_the_keys_are_those_of_the_design_and_lie_on_one_node(
    board: LoadBoard, raw_redis: redis.asyncio.Redis
) -> None:
    await board.reporter("a").publish(a_load())
    assert await raw_redis.hgetall(LOADS) == {b"a": wire.load_to_wire(a_load()).SerializeToString()}
    seconds, micros = await raw_redis.time()
    assert await raw_redis.zscore(MEMBERS, "a") == pytest.approx(seconds + micros / 1e6, abs=5)
    assert len({key_slot(key.encode()) for key in (LOADS, MEMBERS, CHANGES)}) == 1


async def test_joining_draining_and_leaving_are_heard_at_once(board: LoadBoard, raw_redis: redis.asyncio.Redis) -> None:
    reporter = board.reporter("a")
    async with _heard(board, raw_redis) as heard:
        await reporter.publish(a_load(sequence=1))
        await reporter.publish(a_load(sequence=2))
        await reporter.publish(a_load(sequence=3, draining=True))
        await reporter.publish(a_load(sequence=4, draining=True))
        await reporter.leave()
        await reporter.leave()
        await _eventually(lambda: _is_last(heard, Change.LEFT))
    assert [change.change for change in heard] == [Change.JOINED, Change.DRAINING, Change.LEFT]
    assert {change.replica for change in heard} == {"a"}
    assert (await board.reader().read()).members == {}


async def _is_last(heard: list[MembershipChange], change: Change) -> bool:
    return bool(heard) and heard[-1].change is change


async def test_a_replica_that_was_started_again_joins_again(board: LoadBoard, raw_redis: redis.asyncio.Redis) -> None:
    await board.reporter("a").publish(a_load())
    async with _heard(board, raw_redis) as heard:
        await board.reporter("a").publish(replace(a_load(), incarnation=8))
        await _eventually(lambda: _is_last(heard, Change.JOINED))


async def test_after_a_flush_the_next_load_brings_the_replica_back(
    board: LoadBoard, raw_redis: redis.asyncio.Redis
) -> None:
    reporter, reader = board.reporter("a"), board.reader()
    await reporter.publish(a_load())
    await raw_redis.flushall()
    assert (await reader.read()).members == {}
    async with _heard(board, raw_redis) as heard:
        await reporter.publish(a_load(sequence=2))
        await _eventually(lambda: _is_last(heard, Change.JOINED))
    assert (await reader.read()).members["a"].load == a_load(sequence=2)


async def test_a_sign_of_life_makes_no_load_younger(board: LoadBoard, raw_redis: redis.asyncio.Redis) -> None:
    reporter, reader = board.reporter("a"), board.reader()
    await reporter.publish(a_load())
    await _backdate(raw_redis, "a", 60)
    member = (await reader.read()).members["a"]
    assert member.silent_seconds == pytest.approx(60, abs=5)
    assert member.load_age == pytest.approx(60, abs=5)
    await reporter.touch()
    member = (await reader.read()).members["a"]
    assert member.silent_seconds < 5
    assert member.load_age == pytest.approx(60, abs=5)
    await reporter.publish(a_load(sequence=2))
    member = (await reader.read()).members["a"]
    assert member.load_age is not None
    assert member.load_age < 5


async def test_a_sign_of_life_makes_nobody_a_member(board: LoadBoard) -> None:
    await board.reporter("a").touch()
    assert (await board.reader().read()).members == {}


async def test_a_silent_member_is_reported_with_its_age_and_forgotten_after_a_long_time(
    board: LoadBoard, raw_redis: redis.asyncio.Redis
) -> None:
    reader = board.reader()
    for replica in ("silent", "gone"):
        await board.reporter(replica).publish(a_load(replica))
    await _backdate(raw_redis, "silent", 1800)
    await _backdate(raw_redis, "gone", 4000)
    members = (await reader.read()).members
    assert set(members) == {"silent"}
    assert members["silent"].silent_seconds == pytest.approx(1800, abs=5)
    assert await raw_redis.zrange(MEMBERS, 0, -1) == [b"silent"]
    assert await raw_redis.hkeys(LOADS) == [b"silent"]


async def test_a_cluster_that_is_gone_leaves_nothing_in_redis(board: LoadBoard, raw_redis: redis.asyncio.Redis) -> None:
    await board.reporter("a").publish(a_load())
    assert 0 < await raw_redis.ttl(LOADS) <= 3600
    assert 0 < await raw_redis.ttl(MEMBERS) <= 3600


@pytest.mark.parametrize(
    "rubbish",
    [b"\xff\xff", b"", wire.load_to_wire(a_load("other")).SerializeToString()],
    ids=["no-message", "empty", "of-another-replica"],
)
async def test_rubbish_in_a_load_is_left_out_and_counted(
    board: LoadBoard, raw_redis: redis.asyncio.Redis, rubbish: bytes
) -> None:
    reader = board.reader()
    for replica in ("a", "b"):
        await board.reporter(replica).publish(a_load(replica))
    await raw_redis.hset(LOADS, "a", rubbish)
    snapshot = await reader.read()
    assert snapshot.members["a"].load is None
    assert snapshot.members["b"].load == a_load("b")
    assert snapshot.num_rubbish == 1
    await reader.read()
    assert reader.num_rubbish == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"+OK\r\n",
        b"$-1\r\n",
        b":1\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*2\r\n$1\r\nx\r\n:1\r\n",
        b"-ERR\r\n",
        b"*9\r\n",
        b"\x00\xff\r\n",
    ],
)
async def test_a_redis_that_answers_rubbish_is_away(reply: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(4096):
                writer.write((reply + b"\r\n") * 10)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        board = LoadBoard(
            RedisSettings(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.1), CLUSTER
        )
        with pytest.raises(RedisUnavailableError):
            await board.reader().read()
        await board.close()


async def test_names_that_are_no_text_and_scores_without_a_time_do_no_harm(
    board: LoadBoard, raw_redis: redis.asyncio.Redis
) -> None:
    await board.reporter("a").publish(a_load())
    await raw_redis.zadd(MEMBERS, {b"\xff\xfe": 1e12, b"infinite": float("inf")})
    snapshot = await board.reader().read()
    assert snapshot.members["a"].load == a_load()
    assert all(member.silent_seconds >= 0 for member in snapshot.members.values())


async def test_rubbish_on_the_channel_is_passed_over(board: LoadBoard, raw_redis: redis.asyncio.Redis) -> None:
    async with _heard(board, raw_redis) as heard:
        for rubbish in (b"", b"\xff", b"exploded a", b"joined"):
            await raw_redis.publish(CHANGES, rubbish)
        await raw_redis.publish(CHANGES, "left a")
        await _eventually(lambda: _is_last(heard, Change.LEFT))
    assert heard == [MembershipChange("a", Change.LEFT)]


async def test_a_listener_that_hears_nothing_finds_out_that_redis_hangs(
    redis_server: EmbeddedRedis, raw_redis: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_connection, "_QUIET_SECONDS", 0.01)
    board = LoadBoard(RedisSettings(redis_server.url, timeout=0.05), CLUSTER)
    assert redis_server.pid
    async with _heard(board, raw_redis) as heard:
        await asyncio.sleep(0.05)  # some pings are answered
        (first,) = await raw_redis.client_list(_type="pubsub")
        os.kill(redis_server.pid, signal.SIGSTOP)
        await asyncio.sleep(0.3)  # one is not
        os.kill(redis_server.pid, signal.SIGCONT)
        await _eventually(lambda: _hears(board, heard, "b"))
        listeners = await raw_redis.client_list(_type="pubsub")
        assert first["id"] not in [listener["id"] for listener in listeners]
    await board.close()


async def test_a_key_of_another_kind_is_one_error(board: LoadBoard, raw_redis: redis.asyncio.Redis) -> None:
    await raw_redis.set(LOADS, "rubbish")
    with pytest.raises(RedisUnavailableError, match="WRONGTYPE"):
        await board.reporter("a").publish(a_load())
    assert not board.is_available


async def test_a_full_redis_takes_nothing_and_can_still_be_read(
    board: LoadBoard, redis_server: EmbeddedRedis, raw_redis: redis.asyncio.Redis
) -> None:
    await board.reporter("a").publish(a_load())
    await raw_redis.config_set("maxmemory", 1)
    router = LoadBoard(RedisSettings(redis_server.url), CLUSTER)
    with pytest.raises(RedisUnavailableError, match="OOM"):
        await board.reporter("a").publish(a_load(sequence=2))
    assert (await router.reader().read()).members["a"].load == a_load()
    await router.close()


async def test_a_user_with_the_rights_that_the_docs_name_can_do_everything(
    redis_server: EmbeddedRedis, raw_redis: redis.asyncio.Redis
) -> None:
    rights = re.search(r"ACL SETUSER niyama on >PASSWORD (.+)", ADR.read_text())
    assert rights
    plain: Any = raw_redis
    await plain.execute_command("ACL", "SETUSER", "niyama", "on", ">secret", *rights[1].split())
    board = LoadBoard(RedisSettings(redis_server.url.replace("//", "//niyama:secret@")), CLUSTER)
    reporter, reader = board.reporter("a"), board.reader()
    async with _heard(board, raw_redis) as heard:
        await reporter.publish(a_load())
        await _backdate(raw_redis, "a", 4000)
        await reader.read()
        await reporter.publish(a_load(sequence=2))
        await reporter.touch()
        await reporter.leave()
        await _eventually(lambda: _is_last(heard, Change.LEFT))
    await board.close()


async def test_a_redis_that_dies_and_comes_back_is_used_again(redis_server: EmbeddedRedis) -> None:
    """Agent, router and listener go on through it, and none of them gets another error than the one."""
    agent, router = (LoadBoard(RedisSettings(redis_server.url), CLUSTER) for _ in range(2))
    reader, heard = router.reader(), list[MembershipChange]()
    async with _background(_publish_always(agent.reporter("a")), _listen(router, heard)):
        await _eventually(lambda: _sees(reader, "a"))
        assert redis_server.pid
        os.kill(redis_server.pid, signal.SIGKILL)
        await redis_server.wait()
        await _eventually(lambda: _are_away(reader, agent, router))
        async with EmbeddedRedis(redis_server.port):
            await _eventually(lambda: _sees(reader, "a"))
            await _eventually(lambda: _hears(agent, heard, "b"))
            assert agent.is_available
            assert router.is_available
    await agent.close()
    await router.close()


@contextlib.asynccontextmanager
async def _background(*work: Awaitable[None]) -> AsyncIterator[None]:
    """Run `work` meanwhile; it must not end by itself."""
    tasks = [asyncio.ensure_future(each) for each in work]
    yield
    for task in tasks:
        assert not task.done(), task
        task.cancel()
    await asyncio.wait(tasks)


async def _publish_always(reporter: LoadReporter) -> None:
    for sequence in range(10**9):
        with contextlib.suppress(RedisUnavailableError):
            await reporter.publish(a_load(sequence=sequence))
        await asyncio.sleep(0.01)


async def _listen(board: LoadBoard, heard: list[MembershipChange]) -> None:
    async for change in board.listen():
        heard.append(change)  # noqa: PERF401, to be looked at meanwhile


async def _sees(reader: LoadReader, replica: str) -> bool:
    try:
        return replica in (await reader.read()).members
    except RedisUnavailableError:
        return False


async def _are_away(reader: LoadReader, *boards: LoadBoard) -> bool:
    return not await _sees(reader, "a") and not any(board.is_available for board in boards)


async def _hears(board: LoadBoard, heard: list[MembershipChange], replica: str) -> bool:
    """Let `replica` join and leave until it has been heard: a listener connects again in its own time."""
    reporter = board.reporter(replica)
    with contextlib.suppress(RedisUnavailableError):
        await reporter.publish(a_load(replica))
        await reporter.leave()
    return MembershipChange(replica, Change.JOINED) in heard
