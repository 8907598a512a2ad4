"""Asks a router how its cluster fares: when it may be used, and what the live table shows."""

import asyncio
import contextlib
from types import TracebackType
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from niyama.v1 import inference_pb2, inference_pb2_grpc
from niyama_client import ClusterStatus
from niyama_client.cluster import status_from_wire
from niyama_runtime.grpc_channel import open_channel
from niyama_runtime.wire import WireError

__all__ = ["RouterProbe"]

_POLL_SECONDS = 0.05
_CALL_SECONDS = 2.0


class RouterProbe:
    """A connection to one router, as an async context manager.

    Attributes:
        address: the router's.
    """

    def __init__(self, address: str) -> None:
        """Open the connection; nothing is sent yet. Needs a running event loop."""
        self.address = address
        self._channel = open_channel(address)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)
        self._inference: inference_pb2_grpc.InferenceAsyncStub = inference_pb2_grpc.InferenceStub(self._channel)

    async def status(self) -> ClusterStatus | None:
        """Return what the router says of its cluster; None while it does not answer, or not so that one can read it."""
        with contextlib.suppress(grpc.aio.AioRpcError, WireError):
            request = inference_pb2.ClusterStatusRequest()
            return status_from_wire(await self._inference.ClusterStatus(request, timeout=_CALL_SECONDS))
        return None

    async def serves(self) -> bool:
        """Return whether the router takes requests."""
        try:
            answer = await self._health.Check(health_pb2.HealthCheckRequest(), timeout=_CALL_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def sees(self, replicas: frozenset[str]) -> bool:
        """Return whether the router would place requests on each of the replicas."""
        status = await self.status()
        return status is not None and replicas <= {each.load.replica for each in status.replicas if each.placeable}

    async def wait_until_ready(self, replicas: frozenset[str]) -> None:
        """Return when the router takes requests and sees the replicas."""
        while not (await self.serves() and await self.sees(replicas)):  # noqa: ASYNC110, another process's state
            await asyncio.sleep(_POLL_SECONDS)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def __aenter__(self) -> "RouterProbe":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
