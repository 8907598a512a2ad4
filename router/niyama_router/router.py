"""The router put together: every part is made here and handed what it needs; nothing else knows them all."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import structlog
from niyama.v1 import inference_pb2_grpc
from niyama_core.output_length import OutputLengthHistory
from niyama_runtime.clock import Clock, MonotonicClock, unix_seconds
from niyama_runtime.grpc_server import GrpcServer
from niyama_runtime.leases import Leases
from niyama_runtime.load_board import LoadBoard
from niyama_runtime.metrics_server import MetricsServer
from niyama_runtime.signatures import read_key

from niyama_router.admission import Admission
from niyama_router.appointments import Appointments
from niyama_router.attainment import Attainment
from niyama_router.cluster_view import ClusterView, model_facts
from niyama_router.directory import Directory
from niyama_router.dispatcher import Dispatcher
from niyama_router.forecasts import Forecasts
from niyama_router.grpc_api import SERVICE_NAME, Desks, InferenceService
from niyama_router.ledger import Ledger
from niyama_router.load_store import BoardSource
from niyama_router.metrics import RouterMetrics
from niyama_router.place_api import PlaceApi
from niyama_router.placing import Placing
from niyama_router.quoting import Quoting
from niyama_router.replica_client import ReplicaClients
from niyama_router.resume_tokens import ResumeTokens
from niyama_router.rules import LiveRules
from niyama_router.seeds import Seeds
from niyama_router.settings import RouterSettings
from niyama_router.watch import Watch

__all__ = ["Endpoints", "Router"]

_METRICS_SECONDS = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a router listens, host:port with the ports that were really taken; None for no metrics."""

    grpc: str
    metrics: str | None


class Router:
    """One router; `run` is its life."""

    def __init__(self, settings: RouterSettings, clock: Clock | None = None) -> None:
        """Put the parts together; nothing listens or connects yet.

        Raises:
            RedisSettingsError: the URL of the load board makes no sense.
            TlsError: a file of the TLS settings for replicas cannot be used.
            SigningKeyError: the file of a key cannot be used.
        """
        self._settings = settings
        self._clock = clock or MonotonicClock()
        self._resume_key = _key(settings.resume_key_file)
        self._leases = Leases(_key(settings.lease_key_file), unix_now=unix_seconds, valid_for=settings.lease_valid_for)
        self._live = LiveRules(settings.rules)
        self._directory = Directory()
        self._clients = ReplicaClients(settings.replica_tls)
        self._board = BoardSource(LoadBoard(settings.redis, settings.cluster)) if settings.redis else None
        self._metrics = RouterMetrics(has_board=self._board is not None)
        attainment = Attainment()
        self._view = ClusterView(
            settings,
            self._live,
            directory=self._directory,
            clients=self._clients,
            attainment=attainment,
            board=self._board,
        )
        self._watch = Watch(
            self._directory,
            self._clients,
            board=self._board,
            seeds=Seeds(settings.replicas, service=settings.replica_service),
            clock=self._clock,
        )
        self._server = GrpcServer(settings.server, [SERVICE_NAME])
        service = self._build_service(attainment)
        inference_pb2_grpc.add_InferenceServicer_to_server(service, self._server.registry)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[Endpoints], None]) -> None:
        """Serve until `stop` is set, then drain: streams may go on for the rules' grace.

        `on_ready` is told where, as soon as requests are taken.

        Raises:
            BindError: an address cannot be taken.
            TlsError: a certificate or key cannot be used.
        """
        metrics = self._listen_for_metrics()
        try:
            await self._server.start()
            await self._watch.look_once()
            async with asyncio.TaskGroup() as tasks:
                background = [tasks.create_task(self._watch.run()), tasks.create_task(self._keep_measuring())]
                self._server.set_serving(True)
                on_ready(Endpoints(self._server.address, metrics.address if metrics else None))
                await stop.wait()
                await self._server.stop(self._live.rules.drain_grace)
                for task in background:
                    task.cancel()
        finally:
            await self._close(metrics)

    def apply(self, settings: RouterSettings) -> None:
        """Take new rules; what needs a restart is said and left as it is."""
        if settings.differs_beyond_rules(self._settings):
            _log.warning("restart_needed", reason="only classes, placement and limits change while the router runs")
        self._live.apply(settings.rules)

    def _build_service(self, attainment: Attainment) -> InferenceService:
        live, directory, clock = self._live, self._directory, self._clock
        lengths, forecasts = OutputLengthHistory(), Forecasts(clock)
        appointments = Appointments(self._resume_key, unix_now=unix_seconds)
        placing = Placing(directory, live, forecasts=forecasts, appointments=appointments, clock=clock)
        ledger = Ledger(attainment, self._metrics, lengths=lengths, forecasts=forecasts)
        admission = Admission(
            live,
            lambda: model_facts(directory),
            lengths=lengths,
            tokens=ResumeTokens(self._resume_key, unix_now=unix_seconds),
            appointments=appointments,
            new_id=lambda: uuid4().hex,
        )
        places = PlaceApi(admission, placing, directory=directory, leases=self._leases, ledger=ledger, clock=clock)
        quoting = Quoting(live, directory, forecasts=forecasts, lengths=lengths, clock=clock)
        return InferenceService(
            admission,
            Dispatcher(placing, self._clients, directory=directory, leases=self._leases, clock=clock),
            desks=Desks(places, quoting, self._view),
            ledger=ledger,
            clock=clock,
        )

    def _listen_for_metrics(self) -> MetricsServer | None:
        address = self._settings.metrics
        return MetricsServer(self._metrics.registry, address) if address else None

    async def _keep_measuring(self) -> None:
        while True:
            self._metrics.see(self._directory, self._clock.now(), board_up=self._view.board_up)
            await asyncio.sleep(_METRICS_SECONDS)

    async def _close(self, metrics: MetricsServer | None) -> None:
        await self._server.stop(0)
        await self._clients.close()
        if self._board is not None:
            await self._board.close()
        if metrics is not None:
            await metrics.stop()


def _key(file: Path | None) -> bytes | None:
    return None if file is None else read_key(file)
