"""Health as `grpc.health.v1` tells it: by service, and for the whole server under the empty name.

The servicer that gRPC ships says SERVING from the start, and its watchers hold a stopping server until the grace
period is over. This one serves only when told, and lets watchers go when it closes.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

__all__ = ["LIVENESS", "SERVICE_NAME", "Health"]

LIVENESS = "niyama.liveness"
"""The name under which a server says SERVING for as long as it answers at all: for who restarts what hangs, and must
leave alone what loads a model or drains."""

SERVICE_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):
    """The state of each service; NOT_SERVING until `set` says otherwise."""

    def __init__(self, services: Iterable[str]) -> None:
        self._states: dict[str, int] = {"": _NOT_SERVING, **dict.fromkeys(services, _NOT_SERVING)}
        self._states[LIVENESS] = _SERVING
        self._changed = asyncio.Event()
        self._closed = False

    def set(self, *, serving: bool, service: str | None = None) -> None:
        """Say whether `service` serves; without a name, whether all do, the server included. Watchers hear of it."""
        names = [name for name in self._states if name != LIVENESS] if service is None else [service]
        for name in names:
            self._states[name] = _SERVING if serving else _NOT_SERVING
        self._tell()

    def close(self) -> None:
        """Say NOT_SERVING for good, and end the watchers' streams."""
        self._closed = True
        self.set(serving=False)

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:  # noqa: N802, ANN401
        """Answer with the state; NOT_FOUND for a service that is not here."""
        status = self._states.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802
        self,
        request: health_pb2.HealthCheckRequest,
        context: Any,  # noqa: ANN401
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Send the state, and again whenever it has changed."""
        last: int | None = None
        while True:
            # All three of one moment: the state may change while a message is on its way.
            changed, closed = self._changed, self._closed
            status = self._states.get(request.service, _UNKNOWN)
            if status != last:
                yield health_pb2.HealthCheckResponse(status=status)
            last = status
            if closed:
                return
            await changed.wait()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
