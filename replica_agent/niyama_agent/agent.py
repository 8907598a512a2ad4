"""One agent put together: engine, gRPC server, load reports, metrics, and their common beginning and end."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog
from niyama.v1 import replica_pb2, replica_pb2_grpc
from niyama_core.journal import IterationRecord
from niyama_core.load import ReplicaLoad
from niyama_runtime.clock import Clock, unix_seconds
from niyama_runtime.grpc_server import GrpcServer, ServerSettings
from niyama_runtime.leases import Leases
from niyama_runtime.load_board import LoadBoard
from niyama_runtime.metrics_server import MetricsServer
from niyama_runtime.signatures import read_key

from niyama_agent.decision_log import header_line, open_decision_log
from niyama_agent.drain import Drain
from niyama_agent.engine import EngineDiedError
from niyama_agent.engine_choice import build_engine
from niyama_agent.grpc_service import ReplicaService
from niyama_agent.identity import VERSION, Identity
from niyama_agent.intake import Intake
from niyama_agent.iteration_file import open_iteration_records
from niyama_agent.lease_gate import LeaseGate
from niyama_agent.load_reporter import LoadReporter
from niyama_agent.metrics import AgentMetrics
from niyama_agent.record_file import RecordFile
from niyama_agent.settings import AgentSettings

__all__ = ["Agent", "Endpoints"]

_SERVICE = replica_pb2.DESCRIPTOR.services_by_name["Replica"].full_name

# How long streams whose last message is on its way may take to close.
_CLOSING_SECONDS = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where an agent listens: host:port, with the ports that were really taken; None without metrics."""

    grpc: str
    metrics: str | None


class Agent:
    """One replica, from its start to its drain.

    Args:
        settings: of the agent.
        clock: what the engine waits by.
    """

    def __init__(self, settings: AgentSettings, clock: Clock) -> None:
        """Put the parts together; nothing listens or runs yet. Needs a running event loop.

        Raises:
            RedisSettingsError: URL or password file of Redis make no sense.
            EngineStartError: the engine is not installed.
            SigningKeyError: the file of the lease key cannot be used.
        """
        self._settings = settings
        self._scheduled = settings.scheduler
        self._clock = clock
        self._decision_log: RecordFile | None = None
        self._records: RecordFile | None = None
        self._server = GrpcServer(ServerSettings(settings.listen, settings.tls), [_SERVICE])
        identity = Identity(settings.replica, settings.model, self._locate)
        self._engine = build_engine(settings, clock, on_iteration=self._keep_record)
        self._metrics = AgentMetrics(identity, version=VERSION)
        self._intake = Intake(
            self._engine, model=settings.model, limits=settings.limits, clock=clock, gate=_lease_gate(settings)
        )
        self._board = LoadBoard(settings.redis, settings.cluster) if settings.redis else None
        self._loads = LoadReporter(
            identity,
            self._engine,
            intake=self._intake,
            clock=clock,
            board=self._board.reporter(settings.replica) if self._board else None,
            on_load=self._observe_load,
        )
        self._drain = Drain(self._engine, self._announce_drain)
        self._service = ReplicaService(
            self._engine,
            identity=identity,
            intake=self._intake,
            loads=self._loads,
            drain=self._drain,
            metrics=self._metrics,
        )
        replica_pb2_grpc.add_ReplicaServicer_to_server(self._service, self._server.registry)

    async def serve(self, stop: asyncio.Event, on_ready: Callable[[Endpoints], None]) -> None:
        """Serve until `stop`, then drain; `on_ready` is told where once requests are served.

        Health is answered from the beginning, and says NOT_SERVING until the engine is ready.

        Raises:
            BindError: an address cannot be taken.
            TlsError: certificate or key cannot be used.
            OSError: a file of records cannot be written.
            EngineStartError: the engine cannot be made ready.
            EngineDiedError: the engine has ended by itself.
        """
        async with AsyncExitStack() as stack:
            if self._board is not None:
                stack.push_async_callback(self._board.close)
            metrics = await self._start_metrics(stack)
            await self._server.start()
            stack.push_async_callback(self._server.stop, _CLOSING_SECONDS)
            if not await self._load_engine(stop):
                return
            self._open_files(stack)
            engine = await self._start(stack)
            self._reschedule()
            self._service.is_open = True
            self._server.set_serving(True)
            on_ready(Endpoints(self._server.address, metrics))
            try:
                await _first_of(stop, engine)
            finally:
                self._server.set_serving(False)
            self._drain.begin(self._settings.drain_grace)
            await self._drain.finished()

    def apply(self, settings: AgentSettings) -> None:
        """Take over what may change while the agent runs; the rest is as it was."""
        self._settings = self._settings.live_part_from(settings)
        self._intake.limits = self._settings.limits
        # An engine that loads its model takes the change when it is ready.
        if self._service.is_open:
            self._reschedule()
        if changed := settings.differences(self._settings):
            _log.warning("change_needs_restart", replica=settings.replica, fields=changed)

    def _reschedule(self) -> None:
        """Change the policy if another is wanted; the decision log begins a new file, for its head is another."""
        if self._scheduled == self._settings.scheduler:
            return
        self._engine.reschedule(self._settings.scheduler)
        self._scheduled = self._settings.scheduler
        self._metrics.describe(self._engine.facts)
        if self._decision_log is not None:
            self._decision_log.restart(header_line(self._settings, facts=self._engine.facts))
        _log.info("rescheduled", policy=self._settings.scheduler.policy)

    async def _start_metrics(self, stack: AsyncExitStack) -> str | None:
        if self._settings.metrics is None:
            return None
        server = MetricsServer(self._metrics.registry, self._settings.metrics)
        stack.push_async_callback(server.stop)
        return server.address

    async def _load_engine(self, stop: asyncio.Event) -> bool:
        """Make the engine ready; return whether it is, which it is not when `stop` came first.

        Raises:
            EngineStartError: it cannot be.
        """
        loading = asyncio.create_task(self._engine.start())
        try:
            await _either(stop, loading)
        finally:
            if not loading.done():
                await _cancelled(loading)
        if loading.cancelled():
            return False
        loading.result()
        self._metrics.describe(self._engine.facts)
        return True

    def _open_files(self, stack: AsyncExitStack) -> None:
        """Begin the files of records, which say what the engine is.

        Raises:
            OSError: one cannot be written.
        """
        settings = self._settings
        if settings.decision_log:
            self._decision_log = open_decision_log(settings.decision_log, settings, facts=self._engine.facts)
        if settings.iteration_records:
            self._records = open_iteration_records(settings.iteration_records)
        for file in filter(None, (self._decision_log, self._records)):
            stack.push_async_callback(asyncio.to_thread, file.close)

    async def _start(self, stack: AsyncExitStack) -> "asyncio.Task[None]":
        """Start engine and load reports, which end in the opposite order; return the engine's task."""
        engine = asyncio.create_task(self._engine.run())
        stack.push_async_callback(_cancelled, engine)
        stack.callback(self._drain.close)
        stack.push_async_callback(self._loads.leave)
        stack.push_async_callback(_cancelled, asyncio.create_task(self._loads.run()))
        return engine

    def _keep_record(self, record: IterationRecord) -> None:
        self._metrics.observe_iteration(record)
        for file in (self._decision_log, self._records):
            if file is not None:
                file.put(record)

    def _observe_load(self, load: ReplicaLoad) -> None:
        self._metrics.observe_engine(self._engine.load(self._clock.now()))
        self._metrics.observe_load(load, board_is_up=self._board.is_available if self._board else None)

    def _announce_drain(self) -> None:
        self._server.set_serving(False)
        self._loads.hurry()

    def _locate(self) -> str:
        return self._settings.advertise or self._server.address


def _lease_gate(settings: AgentSettings) -> LeaseGate:
    key = read_key(settings.lease_key_file) if settings.lease_key_file else None
    return LeaseGate(Leases(key, unix_now=unix_seconds), replica=settings.replica)


async def _first_of(stop: asyncio.Event, engine: "asyncio.Task[None]") -> None:
    """Wait for the order to stop.

    Raises:
        EngineDiedError: the engine ended before.
    """
    await _either(stop, engine)
    if engine.done():
        cause = engine.exception()
        raise cause if isinstance(cause, EngineDiedError) else EngineDiedError("the engine has ended") from cause


async def _either(stop: asyncio.Event, task: "asyncio.Task[None]") -> None:
    """Wait for the order to stop or for the end of a task, whichever comes first."""
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((stopped, task), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()


async def _cancelled(task: "asyncio.Task[None]") -> None:
    """End a task and wait for its end, however it ends."""
    task.cancel()
    await asyncio.wait((task,))
