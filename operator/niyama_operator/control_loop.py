"""The operator put together: watching, leading, reconciling, asking routers, and their common beginning and end."""

import asyncio
from contextlib import suppress

import structlog
from niyama_runtime.clock import Clock

from niyama_operator.kubernetes_api import ApiError, ApiUnavailableError, KubernetesApi
from niyama_operator.leadership import Leadership
from niyama_operator.metrics import OperatorMetrics
from niyama_operator.reconcile import Reconciler
from niyama_operator.router_views import RouterViews
from niyama_operator.settings import OperatorSettings
from niyama_operator.work_queue import Key, WorkQueue

__all__ = ["ControlLoop"]

_ASK_SECONDS = 10.0
_RESYNC_SECONDS = 300.0
_MEASURE_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class ControlLoop:
    """Everything of an operator but the watching, which tells it by `hear_of_cluster` and `hear_of_owned`.

    Attributes:
        metrics: what it says of itself.
        leadership: whether it may work.
    """

    def __init__(self, settings: OperatorSettings, api: KubernetesApi, *, identity: str, clock: Clock) -> None:
        """Put the parts together; nothing is asked or written yet."""
        self._settings = settings
        self._api = api
        self._clock = clock
        self._clusters: set[Key] = set()
        self._views = RouterViews(clock)
        self._queue = WorkQueue(clock)
        self._reconciler = Reconciler(api, settings.defaults, views=self._views, clock=clock)
        self.leadership = Leadership(api, settings.lease, identity=identity, clock=clock)
        self.metrics = OperatorMetrics()

    def hear_of_cluster(self, key: Key, is_there: bool) -> None:
        """Note that a cluster is there and changed, or is gone."""
        if is_there:
            self._clusters.add(key)
        else:
            self._clusters.discard(key)
            self._views.forget(key)
        self.metrics.clusters.set(len(self._clusters))
        self._queue.add(key)

    def hear_of_owned(self, key: Key) -> None:
        """Note that something happened to what a cluster owns."""
        self._queue.add(key)

    async def wait_for_resource(self) -> None:
        """Wait until the API server knows NiyamaClusters; a watch of what it does not know finds nothing, ever."""
        namespaces = self._settings.namespaces or (None,)
        told = False
        while True:
            try:
                await self._api.list("NiyamaCluster", namespace=namespaces[0])
            except (ApiError, ApiUnavailableError) as error:
                if not told:
                    _log.warning("waiting_for_niyamaclusters", error=str(error), fix="install the chart niyama-crds")
                told = True
                await asyncio.sleep(1)
            else:
                return

    async def run(self) -> None:
        """Work until cancelled; then give the Lease back."""
        loops = (self.leadership.run(), self._lead(), self._ask_routers(), self._measure())
        try:
            async with asyncio.TaskGroup() as tasks:
                for loop in loops:
                    tasks.create_task(loop)
        finally:
            await asyncio.shield(self.leadership.release())

    async def _lead(self) -> None:
        """Reconcile while the Lease is held, beginning with everything."""
        while True:
            await self.leadership.leading.wait()
            work = asyncio.create_task(self._work())
            try:
                await self.leadership.lost.wait()
            finally:
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queue.run(self._reconcile))
            tasks.create_task(self._resync())

    async def _resync(self) -> None:
        while True:
            for key in list(self._clusters):
                self._queue.add(key)
            await asyncio.sleep(_RESYNC_SECONDS)

    async def _reconcile(self, key: Key) -> None:
        with self.metrics.reconcile_seconds.time():
            try:
                again_in = await self._reconciler.reconcile(key)
            except BaseException:
                self.metrics.reconcile_errors.inc()
                raise
        if key not in self._clusters:
            self._queue.forget(key)
        elif again_in is not None:
            self._queue.add(key, after=again_in)

    async def _ask_routers(self) -> None:
        """Ask every cluster's routers now and then; a cluster of which they say something new is looked at."""
        while True:
            await asyncio.sleep(_ASK_SECONDS)
            for key in self._views.keys() if self.leadership.leading.is_set() else ():
                if await self._views.refresh(key):
                    self._queue.add(key)

    async def _measure(self) -> None:
        counted: dict[str, int] = {}
        while True:
            self.metrics.leading.set(self.leadership.leading.is_set())
            for method, number in self._api.num_requests.items():
                self.metrics.api_requests.labels(method).inc(number - counted.get(method, 0))
                counted[method] = number
            await asyncio.sleep(_MEASURE_SECONDS)
