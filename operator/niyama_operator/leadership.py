"""One operator works at a time: whoever holds the Lease.

The holder renews it every few seconds; another takes it over when it has not been renewed for its duration, by its own
watch and not by the times in it, so that clocks may differ. An operator that ends in good order gives it back. While
the API server is away the holder stops working once the duration is over: it could not write anyway, and by then
another may hold the Lease.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from niyama_runtime.clock import Clock

from niyama_operator.kubernetes_api import ApiError, ApiUnavailableError, KubernetesApi
from niyama_operator.manifests.blueprint import Manifest
from niyama_operator.settings import LeaseSettings

__all__ = ["Leadership"]

_DURATION_SECONDS = 15.0
_RENEW_SECONDS = 5.0
_RETRY_SECONDS = 2.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A state of the Lease, and when it was first seen."""

    version: str
    since: float


class Leadership:
    """Holds the Lease whenever it can.

    Args:
        api: of Kubernetes.
        settings: which Lease.
        identity: this operator's name among others.
        clock: by which durations are measured.
    """

    def __init__(self, api: KubernetesApi, settings: LeaseSettings, *, identity: str, clock: Clock) -> None:
        """Begin without the Lease."""
        self._api = api
        self._settings = settings
        self._identity = identity
        self._clock = clock
        self._seen: _Sighting | None = None
        self._renewed_at = 0.0
        self.leading = asyncio.Event()
        self.lost = asyncio.Event()

    async def run(self) -> None:
        """Take the Lease and keep it, for ever; `leading` and `lost` say how things stand."""
        while True:
            holds = await self._try_to_hold()
            if holds:
                self._renewed_at = self._clock.now()
                self._begin()
            elif not self.leading.is_set() or self._clock.now() - self._renewed_at >= _DURATION_SECONDS:
                self._end()
            await asyncio.sleep(_RENEW_SECONDS if holds else _RETRY_SECONDS)

    async def release(self) -> None:
        """Give the Lease back, so that another operator need not wait; never fails."""
        if not self.leading.is_set():
            return
        self._end()
        try:
            lease = await self._read()
            if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"]["holderIdentity"] = ""
                await self._api.replace(lease)
        except (ApiError, ApiUnavailableError) as error:
            _log.warning("lease_not_released", error=str(error))

    def _begin(self) -> None:
        if not self.leading.is_set():
            _log.info("leading", lease=f"{self._settings.namespace}/{self._settings.name}")
        self.lost.clear()
        self.leading.set()

    def _end(self) -> None:
        if self.leading.is_set():
            _log.warning("no_longer_leading")
        self.leading.clear()
        self.lost.set()

    async def _try_to_hold(self) -> bool:
        """Create, renew or take over the Lease; return whether it is held now."""
        try:
            lease = await self._read()
            if lease is None:
                await self._api.create(self._lease({}))
                return True
            if not self._may_take(lease):
                return False
            await self._api.replace(self._lease(lease))
        except ApiUnavailableError as error:
            _log.warning("lease_not_renewed", error=str(error))
            return False
        except ApiError as error:
            if error.status != 409:
                _log.error("lease_refused", error=str(error))
            return False
        return True

    async def _read(self) -> Manifest | None:
        lease = await self._api.get("Lease", self._settings.name, namespace=self._settings.namespace)
        if lease is None:
            return None
        # The chart makes one without a spec, so that it goes when the chart does.
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {}, **lease}

    def _may_take(self, lease: Manifest) -> bool:
        """Return whether the Lease is ours, nobody's, or has not been renewed for its duration."""
        holder = lease["spec"].get("holderIdentity") or ""
        version, now = lease["metadata"]["resourceVersion"], self._clock.now()
        if self._seen is None or self._seen.version != version:
            self._seen = _Sighting(version, now)
        duration = float(lease["spec"].get("leaseDurationSeconds") or _DURATION_SECONDS)
        return holder in ("", self._identity) or now - self._seen.since >= duration

    def _lease(self, former: Manifest) -> Manifest:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict(former.get("spec", {}))
        if spec.get("holderIdentity") != self._identity:
            spec |= {"acquireTime": now, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        spec |= {
            "holderIdentity": self._identity,
            "renewTime": now,
            "leaseDurationSeconds": round(_DURATION_SECONDS),
        }
        metadata = former.get("metadata") or {"name": self._settings.name, "namespace": self._settings.namespace}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
