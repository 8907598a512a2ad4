"""Redis may fail in any way; whoever uses it gets one error, soon."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio
from niyama_runtime.backoff import Backoff
from niyama_runtime.clock import VirtualClock
from niyama_runtime.embedded_redis import EmbeddedRedis, find_redis_server
from niyama_runtime.redis_connection import RedisConnection, RedisUnavailableError
from niyama_runtime.redis_settings import RedisSettings, RedisSettingsError

NOBODY = "redis://127.0.0.1:1"


@contextlib.asynccontextmanager
async def _connected(settings: RedisSettings, backoff: Backoff | None = None) -> AsyncIterator[RedisConnection]:
    connection = RedisConnection(settings, backoff=backoff)
    try:
        yield connection
    finally:
        await connection.close()


async def _echo(connection: RedisConnection, text: str) -> object:
    return await connection.run_script("return ARGV[1]", keys=(), arguments=(text,))


async def _fails_soon(connection: RedisConnection) -> None:
    before = time.monotonic()
    with pytest.raises(RedisUnavailableError):
        await _echo(connection, "x")
    assert time.monotonic() - before < 2.0


async def test_nobody_there_is_one_error_that_names_the_place_and_no_password() -> None:
    async with _connected(RedisSettings("redis://user:secret@127.0.0.1:1/0")) as connection:
        with pytest.raises(RedisUnavailableError, match=r"127\.0\.0\.1:1 is away") as refused:
            await _echo(connection, "x")
        assert "secret" not in str(refused.value)
        assert not connection.is_available


async def test_a_server_that_speaks_something_else_is_one_error() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with _connected(RedisSettings(f"redis://127.0.0.1:{port}")) as connection:
            await _fails_soon(connection)


async def test_a_server_that_says_nothing_costs_one_timeout() -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with _connected(RedisSettings(f"redis://127.0.0.1:{port}", timeout=0.1)) as connection:
            await _fails_soon(connection)


async def test_after_a_fault_nothing_is_tried_until_the_back_off_is_over() -> None:
    clock = VirtualClock()
    connection = RedisConnection(RedisSettings(NOBODY), backoff=Backoff(1.0, 1.0), clock=clock)
    await _fails_soon(connection)
    await _fails_soon(connection)
    assert connection.num_faults == 1
    await clock.run(until=1.0)
    await _fails_soon(connection)
    assert connection.num_faults == 2


async def test_replies_are_not_mixed_up_when_redis_hung_in_between(redis_server: EmbeddedRedis) -> None:
    assert redis_server.pid
    settings = RedisSettings(redis_server.url, timeout=0.05)
    async with _connected(settings, Backoff(0.001, 0.001)) as connection:
        assert await _echo(connection, "before") == b"before"
        os.kill(redis_server.pid, signal.SIGSTOP)
        try:
            await _fails_soon(connection)
        finally:
            os.kill(redis_server.pid, signal.SIGCONT)
        replies = {await _echo_soon(connection, f"after {i}", seconds=5) for i in range(3)}
        assert replies == {b"after 0", b"after 1", b"after 2"}
        assert connection.is_available


async def _echo_soon(connection: RedisConnection, text: str, *, seconds: float) -> object:
    """Return the echo of `text`, trying again while Redis is away."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(RedisUnavailableError):
                return await _echo(connection, text)
            await asyncio.sleep(0.005)


async def test_a_redis_that_lost_its_scripts_takes_them_again(
    redis_server: EmbeddedRedis, raw_redis: redis.asyncio.Redis
) -> None:
    async with _connected(RedisSettings(redis_server.url)) as connection:
        assert await _echo(connection, "one") == b"one"
        await raw_redis.script_flush()
        assert await _echo(connection, "two") == b"two"


async def test_the_password_comes_from_a_file_and_may_change(
    redis_server: EmbeddedRedis, raw_redis: redis.asyncio.Redis, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    await raw_redis.config_set("requirepass", "first")
    async with _connected(RedisSettings(redis_server.url, file), Backoff(0.001, 0.001)) as connection:
        assert await _echo(connection, "x") == b"x"
        await raw_redis.config_set("requirepass", "second")
        await raw_redis.client_kill_filter(_type="normal", skipme=True)
        await _fails_soon(connection)
        file.write_text("second")
        assert await _echo_soon(connection, "y", seconds=5) == b"y"


async def test_a_user_with_few_rights_suffices(
    redis_server: EmbeddedRedis, raw_redis: redis.asyncio.Redis, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("secret")
    await raw_redis.acl_setuser("niyama", enabled=True, passwords=["+secret"], commands=["+eval"])
    url = redis_server.url.replace("redis://", "redis://niyama@")
    async with _connected(RedisSettings(url, tmp_path / "password")) as connection:
        assert await _echo(connection, "x") == b"x"


async def test_a_unix_socket_will_do(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    command = (str(find_redis_server()), "--port", "0", "--unixsocket", str(path), "--save", "")
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, cwd=tmp_path)
    try:
        async with _connected(RedisSettings(f"unix://{path}"), Backoff(0.001, 0.01)) as connection:
            assert await _echo_soon(connection, "x", seconds=5) == b"x"
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost", "redis://localhost:port", "redis://[::1"])
def test_what_is_no_redis_url_is_refused(url: str) -> None:
    with pytest.raises(RedisSettingsError, match="this is no Redis URL"):
        RedisConnection(RedisSettings(url))


def test_a_password_in_two_places_or_in_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RedisSettingsError, match="leave one out"):
        RedisConnection(RedisSettings("redis://u:p@localhost", tmp_path / "password"))
    with pytest.raises(RedisSettingsError, match=r"cannot read the Redis password from .*nowhere"):
        RedisConnection(RedisSettings("redis://localhost", tmp_path / "nowhere"))
