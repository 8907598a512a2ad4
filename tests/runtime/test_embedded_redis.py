"""A Redis server that is found, started, and gone when it should be."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from niyama_runtime import embedded_redis
from niyama_runtime.addresses import BindError
from niyama_runtime.embedded_redis import EmbeddedRedis, EmbeddedRedisError, find_redis_server

_PARENT = """
import asyncio
from niyama_runtime.embedded_redis import EmbeddedRedis

async def main():
    async with EmbeddedRedis() as redis:
        print(redis.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait_until_gone(pid: int) -> None:
    end = time.monotonic() + 10
    while _is_alive(pid):
        assert time.monotonic() < end, f"process {pid} is still there"
        time.sleep(0.01)


async def test_it_answers_when_started_and_is_gone_when_stopped() -> None:
    async with EmbeddedRedis() as server:
        pid = server.pid
        assert pid
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"PING\r\nCONFIG GET save\r\n")
        assert await reader.readline() == b"+PONG\r\n"
        writer.close()
    assert not _is_alive(pid)
    assert server.pid is None


async def test_whoever_watches_it_hears_of_its_death_and_starts_another_on_the_same_port() -> None:
    async with EmbeddedRedis() as first:
        assert first.pid
        os.kill(first.pid, signal.SIGKILL)
        assert await asyncio.wait_for(first.wait(), 5) == -signal.SIGKILL
        async with EmbeddedRedis(first.port) as second:
            assert second.url == first.url


async def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = EmbeddedRedis(other.getsockname()[1])
        with pytest.raises(BindError, match="Address already in use"):
            await server.start()


async def test_a_program_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho 'bad processor' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(EmbeddedRedisError, match="ended at once: bad processor"):
        await EmbeddedRedis(program=program).start()


async def test_a_program_that_never_answers_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_redis, "_START_SECONDS", 0.3)
    program = tmp_path / "redis-server"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    program.chmod(0o755)
    with pytest.raises(EmbeddedRedisError, match="did not answer"):
        await EmbeddedRedis(program=program).start()
    _wait_until_gone(int((tmp_path / "pid").read_text()))


def test_without_a_server_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EmbeddedRedisError, match="install redis-server or valkey-server"):
        find_redis_server()


def test_a_server_on_the_path_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "valkey-server").touch(0o755)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server() == tmp_path / "valkey-server"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_it_dies_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert _is_alive(pid)
        parent.kill()
    _wait_until_gone(pid)
