"""Redis servers of every kind as real processes: alone, under Sentinels, in a cluster, and behind a proxy.

`NIYAMA_REDIS_SERVERS` names more programs, with colons: tests of what depends on the version run with each.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio
from niyama_runtime.child_process import dying_with_parent
from niyama_runtime.embedded_redis import find_redis_server

MASTER = "the-master"
NUM_SLOTS = 16384


def programs() -> list[Path]:
    """Return the Redis servers of this machine, one of each version."""
    named = os.environ.get("NIYAMA_REDIS_SERVERS", "").split(":")
    found = [shutil.which(name) for name in ("redis-server", "valkey-server", *filter(None, named))]
    by_version = {_version(Path(path)): Path(path) for path in (*found, str(find_redis_server())) if path}
    return sorted(by_version.values())


def _version(program: Path) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout


@dataclass(slots=True)
class Server:
    """One process, and a plain client of it."""

    port: int
    process: asyncio.subprocess.Process
    client: redis.asyncio.Redis

    async def ask(self, *command: str | bytes | int) -> Any:  # noqa: ANN401, whatever it says
        """Return what it says to a command, as it comes."""
        return await self.client.execute_command(*command)  # type: ignore[no-untyped-call]

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


@contextlib.asynccontextmanager
async def running(program: Path, folder: Path, *arguments: str) -> AsyncIterator[Server]:
    """Run a server on a free port within the block."""
    port = free_port()
    folder = folder / str(port)
    folder.mkdir()
    command = [str(program), *arguments, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*dying_with_parent(command), stdout=log, stderr=log)
    client = redis.asyncio.Redis(port=port, protocol=2)
    server = Server(port, process, client)
    try:
        await until_answers(client)
        yield server
    finally:
        await client.aclose()
        await server.kill()


def free_port() -> int:
    """Return a port that is free, and so is the one of the cluster's bus that belongs to it."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                bus.bind(("127.0.0.1", port + 10_000))
                return port


async def until_answers(client: redis.asyncio.Redis) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(redis.RedisError, OSError):
                await client.ping()
                return
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def sentinels(program: Path, folder: Path, masters: Sequence[Server]) -> AsyncIterator[list[Server]]:
    """Run three Sentinels that watch over the first of `masters`, of which the others are replicas."""
    first, *others = masters
    for other in others:
        await other.ask("REPLICAOF", "127.0.0.1", first.port)
    async with contextlib.AsyncExitStack() as stack:
        watching = []
        for number in range(3):
            config = folder / f"sentinel-{number}.conf"
            config.write_text(
                f"sentinel monitor {MASTER} 127.0.0.1 {first.port} 2\n"
                f"sentinel down-after-milliseconds {MASTER} 500\nsentinel failover-timeout {MASTER} 2000\n"
            )
            watching.append(await stack.enter_async_context(running(program, folder, str(config), "--sentinel")))
        await until_known(watching, len(others))
        yield watching


async def until_known(watching: Sequence[Server], num_replicas: int) -> None:
    """Wait until each Sentinel knows the replicas and the other Sentinels: without, there is no failover."""
    async with asyncio.timeout(20):
        for sentinel in watching:
            while True:
                told = await sentinel.ask("SENTINEL", "MASTER", MASTER)
                state = dict(zip(told[::2], told[1::2], strict=True))
                if (int(state[b"num-slaves"]), int(state[b"num-other-sentinels"])) == (num_replicas, 2):
                    break
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def cluster(program: Path, folder: Path) -> AsyncIterator[list[Server]]:
    """Run a cluster of two nodes, the first of which has all slots."""
    arguments = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--save", "")
    async with running(program, folder, *arguments) as first, running(program, folder, *arguments) as second:
        await first.ask("CLUSTER", "ADDSLOTS", *range(NUM_SLOTS))
        await second.ask("CLUSTER", "MEET", "127.0.0.1", first.port)
        for node in (first, second):
            async with asyncio.timeout(20):
                while not await is_whole(node):  # noqa: ASYNC110, another process's state
                    await asyncio.sleep(0.05)
        yield [first, second]


async def is_whole(node: Server) -> bool:
    told = (await node.ask("CLUSTER", "INFO")).decode().split()
    return "cluster_state:ok" in told and "cluster_known_nodes:2" in told


async def give_slot(slot: int, *, origin: Server, target: Server) -> None:
    """Let another node have a slot, which is empty."""
    name = await target.ask("CLUSTER", "MYID")
    for node in (target, origin):
        await node.ask("CLUSTER", "SETSLOT", slot, "NODE", name)


@contextlib.asynccontextmanager
async def proxy(port: int, *, delay: float = 0.0, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Yield a port behind which the server at `port` is: so many seconds away each way, and by TLS if asked for."""

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        ways = [pass_on(reader, there_writer, delay=delay), pass_on(there_reader, writer, delay=delay)]
        # When one side has closed, so has the other.
        _, open_ways = await asyncio.wait(map(asyncio.ensure_future, ways), return_when=asyncio.FIRST_COMPLETED)
        for way in open_ways:
            way.cancel()
        for each in (writer, there_writer):
            each.transport.abort()

    async with await asyncio.start_server(join, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.sleep(0.05)  # for connections to see that their clients have closed


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delay: float) -> None:
    """Pass on what is read, later, in its order, and any number of pieces on the way at once."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            loop.call_later(delay, writer.write, data)
