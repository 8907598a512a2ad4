"""The cluster that is made to suffer: a Redis, paced replicas and routers, each a process of its own.

Each can be killed and started again, stopped and let go on; nothing starts again by itself, so that a run knows what
happened when. All ends with this process, however that one ends.
"""

import asyncio
import contextlib
import json
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from niyama_cli.role_process import RoleProcess, module_command
from niyama_client import Client, ClusterStatus, LoadBoardState, NiyamaError, Retries
from niyama_runtime.embedded_redis import find_redis_server

from bench.losses.network import Network

__all__ = ["REDIS", "Cast", "Role", "Stage", "playing"]

REDIS = "redis"

_START_SECONDS = 60.0
_GRACE_SECONDS = 5.0
_CLASSES = (
    {"name": "chat", "interactive": {"ttft": "2s", "tbt": "100ms"}, "default": True},
    {"name": "summarise", "batch": {"ttlt": "60s"}},
    {"name": "nightly", "batch": {"ttlt": "2m"}, "importance": "low"},
)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays: how many replicas and routers, and how fast the replicas are, as a share of their profile."""

    num_replicas: int = 3
    num_routers: int = 2
    speed: float = 1.0

    @property
    def replicas(self) -> tuple[str, ...]:
        """The names of the replicas."""
        return tuple(f"replica-{number}" for number in range(self.num_replicas))

    @property
    def routers(self) -> tuple[str, ...]:
        """The names of the routers."""
        return tuple(f"router-{number}" for number in range(self.num_routers))

    @property
    def places(self) -> tuple[str, ...]:
        """The names of all that listen."""
        return (REDIS, *self.replicas, *self.routers)


class Role:
    """One process of the cluster.

    Attributes:
        name: its own, and that of its place.
    """

    def __init__(self, name: str, process: RoleProcess) -> None:
        """Prepare; `start` starts it."""
        self.name = name
        self._process = process

    @property
    def pid(self) -> int | None:
        """The id of the process while it runs."""
        return self._process.pid

    async def start(self) -> None:
        """Start it, for the first time or after `kill`."""
        await self._process.start()

    async def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        self._signal(signal.SIGKILL)
        await self._process.wait()

    def pause(self) -> None:
        """Let it hang: it keeps its connections, and does nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    async def stop(self) -> None:
        """End it in good order, or at once when it does not."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.resume()
        await self._process.stop()

    def last_words(self) -> str:
        """Return the end of its log."""
        return "\n".join(self._process.last_words())

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            psutil.Process(self.pid).send_signal(number)


class Stage:
    """The running cluster.

    Attributes:
        cast: who plays.
        network: where they are.
        roles: the processes by name.
    """

    def __init__(self, cast: Cast, network: Network, *, folder: Path) -> None:
        """Write the configuration files into `folder`; nothing runs yet."""
        self.cast = cast
        self.network = network
        (folder / "resume-key").write_text(secrets.token_hex(32))
        commands = {REDIS: _redis_command(network.address(REDIS))}
        for name in cast.replicas:
            commands[name] = _role_command("niyama_agent", name, document=self._agent(name), folder=folder)
        for name in cast.routers:
            commands[name] = _role_command("niyama_router", name, document=self._router(name, folder), folder=folder)
        self.roles: Mapping[str, Role] = {
            name: Role(name, RoleProcess(network.inside(name, command), folder / f"{name}.log", grace=_GRACE_SECONDS))
            for name, command in commands.items()
        }

    @property
    def address(self) -> str:
        """Where clients find all routers."""
        return ",".join(map(self.network.address, self.cast.routers))

    async def start(self) -> None:
        """Start all and wait until every router knows every replica.

        Raises:
            TimeoutError: it takes too long; what the processes say last is on standard error.
        """
        for role in self.roles.values():
            await role.start()
        try:
            await self.until_whole(_START_SECONDS)
        except TimeoutError:
            for role in self.roles.values():
                sys.stderr.write(f"{role.name}: {role.last_words()}\n")
            raise

    async def until_whole(self, seconds: float) -> None:
        """Wait until every router is there and knows every replica.

        Raises:
            TimeoutError: they do not within so many seconds.
        """
        async with asyncio.timeout(seconds):
            for router in self.cast.routers:
                await self._until_seen_by(router)

    async def prefill_rate(self) -> float:
        """Return how many prompt tokens the replicas compute in a second, all together, as they say."""
        status = await self._status(self.cast.routers[0])
        assert status is not None
        return sum(replica.load.prefill_tokens_per_second for replica in status.replicas)

    async def stop(self) -> None:
        """End all, routers first; it is gone when this returns."""
        for name in (*self.cast.routers, *self.cast.replicas, REDIS):
            await self.roles[name].stop()

    async def _until_seen_by(self, router: str) -> None:
        while not self._is_whole(await self._status(router)):  # noqa: ASYNC110, another process's state
            await asyncio.sleep(0.2)

    async def _status(self, router: str) -> ClusterStatus | None:
        async with Client(self.network.address(router), retries=Retries(unavailable=0)) as client:
            try:
                return await client.status()
            except (NiyamaError, grpc.RpcError):
                return None

    def _is_whole(self, status: ClusterStatus | None) -> bool:
        if status is None or status.load_board is not LoadBoardState.CONNECTED:
            return False
        return {each.load.replica for each in status.replicas if each.placeable} == set(self.cast.replicas)

    def _agent(self, name: str) -> Mapping[str, object]:
        engine = {"type": "paced", "speed": self.cast.speed}
        return {**self._both(name), "replica": name, "engine": engine}

    def _router(self, name: str, folder: Path) -> Mapping[str, object]:
        key = {"resumeKeyFile": str(folder / "resume-key")}
        routers = {"router": name, "numRouters": self.cast.num_routers}
        return {**self._both(name), **routers, **key, "qosClasses": list(_CLASSES)}

    def _both(self, name: str) -> Mapping[str, object]:
        return {
            "cluster": "bench/losses",
            "model": "paced",
            "listen": self.network.address(name),
            "redis": {"url": f"redis://{self.network.address(REDIS)}/0"},
            "drainGrace": "2s",
        }


@contextlib.asynccontextmanager
async def playing(cast: Cast, network: Callable[[Sequence[str]], Network], *, folder: Path) -> AsyncIterator[Stage]:
    """Run the cluster within the block."""
    ways = network(cast.places)
    try:
        stage = Stage(cast, ways, folder=folder)
        try:
            await stage.start()
            yield stage
        finally:
            await stage.stop()
    finally:
        ways.close()


def _redis_command(address: str) -> list[str]:
    host, _, port = address.rpartition(":")
    options = {"bind": host, "port": port, "save": "", "appendonly": "no", "protected-mode": "no"}
    return [str(find_redis_server()), *(part for key, value in options.items() for part in (f"--{key}", value))]


def _role_command(module: str, name: str, *, document: Mapping[str, object], folder: Path) -> list[str]:
    config = folder / f"{name}.json"
    config.write_text(json.dumps(document))
    return module_command(module, "--config", str(config))
