"""The ways from a request to its tokens: through a router, or from the replica itself.

A route yields messages as a router sends them, whatever happens on the way. It may be streamed several times, each time
from where the transcript ends, and keeps between them what must not be forgotten.
"""

from collections.abc import AsyncGenerator
from enum import Enum
from typing import Protocol

from niyama.v1 import generation_pb2, inference_pb2_grpc
from niyama_runtime.status import Failure

from niyama_client.retries import Patience
from niyama_client.transcript import Transcript

__all__ = ["Cancellable", "Mode", "Route", "RouteFailedError", "RoutedRoute"]


class Mode(Enum):
    """Which way tokens come."""

    ROUTED = "routed"
    """Through a router, which follows the request wherever it goes."""
    DIRECT = "direct"
    """From the replica itself; a router says which, and is asked again when that replica is lost."""
    AUTO = "auto"
    """From the replica itself where its address can be reached, else through a router."""


class RouteFailedError(Exception):
    """A stream ended with `failure`, which no call of gRPC has raised."""

    def __init__(self, failure: Failure) -> None:
        """Keep the failure."""
        super().__init__(failure.message)
        self.failure = failure


class Cancellable(Protocol):
    """Something that is under way: a call, or a task."""

    def cancel(self) -> object:
        """End it."""
        ...


class Route(Protocol):
    """A way to tokens."""

    def stream(self, transcript: Transcript) -> AsyncGenerator[generation_pb2.GenerateResponse, None]:
        """Yield the messages that come behind what the transcript has.

        Raises:
            grpc.aio.AioRpcError: a call failed; streaming again may help.
            RouteFailedError: the same, without a call.
            NiyamaError: it failed for good.
        """
        ...

    def cancel(self) -> None:
        """End what is under way; a stream that waits for it raises `asyncio.CancelledError`."""
        ...


class RoutedRoute:
    """Through a router."""

    def __init__(
        self,
        request: generation_pb2.GenerateRequest,
        stub: "inference_pb2_grpc.InferenceAsyncStub",
        *,
        patience: Patience,
    ) -> None:
        self._request = request
        self._stub = stub
        self._patience = patience
        self._current: Cancellable | None = None

    async def stream(self, transcript: Transcript) -> AsyncGenerator[generation_pb2.GenerateResponse, None]:
        """Yield what a router says."""
        resume = transcript.resume()
        if resume is not None:
            self._request.resume.CopyFrom(resume)
        call = self._current = self._stub.Generate(
            self._request, timeout=self._patience.seconds_left(), metadata=self._patience.metadata
        )
        try:
            async for message in call:
                yield message
        finally:
            call.cancel()

    def begin_with(self, resume_token: bytes) -> None:
        """Go on with a request that was placed, and has no tokens: arrival and promise stay as they were."""
        self._request.resume.token = resume_token

    def cancel(self) -> None:
        """End the call."""
        if self._current is not None:
            self._current.cancel()
