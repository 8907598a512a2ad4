"""A whole cluster as local processes: Redis, agents and routers, from a manifest, for as long as a `with` lasts.

`niyama up` and `niyama demo` run the same cluster through this one class. Entering it returns when requests are
served; leaving it drains and ends everything for sure: routers first, then replicas, then Redis. No process and no
file is left, and the children end also when this very process is killed.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType

from niyama_core.cluster_spec import ClusterSpec, EngineType
from niyama_runtime.addresses import BindError
from niyama_runtime.embedded_redis import EmbeddedRedis, EmbeddedRedisError
from niyama_runtime.redis_connection import RedisConnection, RedisUnavailableError
from niyama_runtime.redis_settings import RedisSettings, RedisSettingsError

from niyama_cli.engine_environment import engine_environment
from niyama_cli.local_cluster_plan import Layout, LocalOptions, Place, lay_out
from niyama_cli.private_folder import PrivateFolder
from niyama_cli.role_files import role_documents, write_role_files
from niyama_cli.role_process import RoleProcess, module_command
from niyama_cli.router_probe import RouterProbe
from niyama_cli.supervisor import Keeper, Supervisor

__all__ = ["ClusterStartError", "LocalCluster", "Revision"]

_KILL_MARGIN_SECONDS = 3.0
_STARTING_SECONDS = 60.0
_LOADING_SECONDS = 600.0
"""How much longer than its own grace a role may take to end before it is made to."""

_START_FAULTS = (BindError, EmbeddedRedisError, RedisSettingsError, OSError)


class ClusterStartError(Exception):
    """The cluster did not start; the message is one line that says why.

    Attributes:
        last_words: the last lines of the process that is to blame.
    """

    def __init__(self, message: str, last_words: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.last_words = last_words


@dataclass(frozen=True, slots=True)
class Revision:
    """What became of a changed manifest: the fields that the roles take over, and those that need a new start."""

    applied: tuple[str, ...]
    deferred: tuple[str, ...]


class LocalCluster:
    """One cluster on this machine, as an async context manager.

    Enter it in the main thread: the kernel ends the children when the thread that started them ends.

    Attributes:
        spec: the manifest with the options applied.
        options: how it is run.
    """

    def __init__(
        self, spec: ClusterSpec, options: LocalOptions | None = None, *, tell: Callable[[str], None] = lambda line: None
    ) -> None:
        """Prepare; nothing is started yet. `tell` takes sentences for a person, such as of a restart."""
        self.options = options or LocalOptions()
        self.spec = self.options.applied_to(spec)
        self._tell = tell
        self._folder: PrivateFolder | None = None
        self._layout = Layout((), (), None, "")
        self._supervisor = Supervisor(())

    @property
    def router(self) -> str:
        """host:port of the first router."""
        return self.routers[0]

    @property
    def routers(self) -> tuple[str, ...]:
        """host:port of each router."""
        return tuple(place.address for place in self._layout.routers)

    @property
    def replicas(self) -> Mapping[str, str]:
        """host:port of each replica's agent, by name."""
        return {place.name: place.address for place in self._layout.replicas}

    @property
    def metrics(self) -> Mapping[str, str]:
        """host:port of each role's metrics, by name; empty without."""
        places = (*self._layout.routers, *self._layout.replicas)
        return {place.name: place.metrics for place in places if place.metrics}

    @property
    def redis_url(self) -> str:
        """The load board's Redis."""
        return self._layout.redis_url

    @property
    def keepers(self) -> tuple[Keeper, ...]:
        """Who keeps each process, by whom its state, process id and restarts are known."""
        return self._supervisor.keepers

    def revise(self, manifest: ClusterSpec) -> Revision:
        """Give the roles what changed in the manifest; they watch their files. Options still go before it.

        Raises:
            OSError: a file cannot be written.
        """
        wanted = self.options.applied_to(manifest)
        spec = self.spec
        self.spec = replace(
            spec,
            model=replace(spec.model, max_output_tokens=wanted.model.max_output_tokens),
            qos_classes=wanted.qos_classes,
            scheduler=wanted.scheduler,
            router=replace(spec.router, placement=wanted.router.placement, max_moves=wanted.router.max_moves),
        )
        self._write_files()
        return Revision(applied=_differences(spec, self.spec), deferred=_differences(self.spec, wanted))

    def kill(self) -> None:
        """End every process at once, for a person who does not want to wait; leaving tidies up."""
        self._supervisor.kill()

    async def __aenter__(self) -> "LocalCluster":
        """Start everything and return when requests are served.

        Raises:
            ClusterStartError: it did not; nothing is left.
        """
        try:
            await self._start()
            await self._wait_until_ready()
        except BaseException:
            await self._end()
            raise
        self._supervisor.keep()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _start(self) -> None:
        try:
            self._folder = PrivateFolder()
            options = self.options
            for folder in filter(None, (options.logs, options.decision_logs, options.iteration_records)):
                folder.mkdir(parents=True, exist_ok=True)
            self._layout = lay_out(self.spec, self.options, folder=self._folder.path)
            self._write_files()
            self._supervisor = Supervisor(self._build_tiers())
            for keeper in reversed(self.keepers):
                await keeper.start()
            await self._greet_redis()
        except _START_FAULTS as error:
            raise ClusterStartError(str(error)) from error

    def _write_files(self) -> None:
        write_role_files(role_documents(self.spec, self._layout, options=self.options))

    def _build_tiers(self) -> list[list[Keeper]]:
        """Return the keepers, those that end first first."""
        layout = self._layout
        redis = [EmbeddedRedis(layout.redis_port)] if layout.redis_port else []
        return [
            [self._keeper(place, "niyama_router") for place in layout.routers],
            [self._keeper(place, "niyama_agent") for place in layout.replicas],
            [Keeper("redis", server, tell=self._tell) for server in redis],
        ]

    def _keeper(self, place: Place, module: str) -> Keeper:
        command = module_command(module, "--config", str(place.config_file))
        is_replica = place in self._layout.replicas
        environment = engine_environment(self.spec, index=self._layout.replicas.index(place)) if is_replica else {}
        grace = self.options.grace + _KILL_MARGIN_SECONDS
        process = RoleProcess(command, place.log_file, grace=grace, environment=environment)
        return Keeper(place.name, process, tell=self._tell, last_words=process.last_words)

    async def _greet_redis(self) -> None:
        """Say so when a Redis that is not ours does not answer; the cluster goes on without."""
        if self._layout.redis_port is not None:
            return
        connection = RedisConnection(RedisSettings(self.redis_url))
        try:
            await connection.use(lambda client: client.ping())
        except RedisUnavailableError as error:
            self._tell(f"{error}; the cluster goes on without it")
        finally:
            await connection.close()

    async def _wait_until_ready(self) -> None:
        """Return when every router serves and sees every replica.

        Raises:
            ClusterStartError: a process ended, or it took too long.
        """
        ready = asyncio.create_task(self._all_ready())
        ends = [asyncio.create_task(self._fail_at_end(keeper)) for keeper in self.keepers]
        try:
            done, _ = await asyncio.wait(
                [ready, *ends], timeout=self._ready_within, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in (ready, *ends):
                task.cancel()
            await asyncio.gather(ready, *ends, return_exceptions=True)
        for task in done:
            task.result()
        if not done:
            raise ClusterStartError(f"the cluster was not ready within {self._ready_within:g} s", self._murmur())

    @property
    def _ready_within(self) -> float:
        asked = self.options.ready_within
        if asked is not None:
            return asked
        return _LOADING_SECONDS if self.spec.engine.type is EngineType.VLLM else _STARTING_SECONDS

    async def _fail_at_end(self, keeper: Keeper) -> None:
        """Wait for a process's end, which nobody wants yet."""
        how = await keeper.ended()
        raise ClusterStartError(f"{keeper.name} {how}", tuple(keeper.last_words()))

    async def _all_ready(self) -> None:
        replicas = frozenset(self.replicas)
        for address in self.routers:
            async with RouterProbe(address) as probe:
                await probe.wait_until_ready(replicas)

    def _murmur(self) -> tuple[str, ...]:
        """Return the last line of every process, for when nobody is clearly to blame."""
        return tuple(f"{keeper.name}: {words[-1]}" for keeper in self.keepers if (words := keeper.last_words()))

    async def _end(self) -> None:
        try:
            await self._supervisor.stop()
        finally:
            folder, self._folder = self._folder, None
            if folder is not None:
                folder.remove()


def _differences(one: ClusterSpec, other: ClusterSpec) -> tuple[str, ...]:
    """Return the manifest's fields in which two clusters differ."""
    fields = {
        "metadata": (one.key, other.key),
        "spec.model": (one.model, other.model),
        "spec.engine": (one.engine, other.engine),
        "spec.replicas": (one.replicas, other.replicas),
        "spec.qosClasses": (one.qos_classes, other.qos_classes),
        "spec.scheduler": (one.scheduler, other.scheduler),
        "spec.router": (one.router, other.router),
        "spec.redis": (one.redis, other.redis),
    }
    return tuple(name for name, (left, right) in fields.items() if left != right)
