"""A router in this very process, behind real gRPC, and what one request sees of it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import grpc
from niyama.v1 import generation_pb2, inference_pb2, inference_pb2_grpc
from niyama_router.router import Endpoints, Router
from niyama_router.settings import parse_settings
from niyama_runtime.grpc_channel import open_channel
from niyama_runtime.status import Failure, failure_of
from niyama_runtime.tls import ClientTls

Metadata = Sequence[tuple[str, str | bytes]]


@dataclass(slots=True)
class Answer:
    """What a client saw of one request."""

    events: list[generation_pb2.GenerateResponse] = field(default_factory=list)
    failure: Failure | None = None
    trailers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kinds(self) -> list[str]:
        return [event.WhichOneof("event") or "" for event in self.events]

    @property
    def token_ids(self) -> list[int]:
        return [token for event in self.events for token in event.tokens.token_ids]

    @property
    def completion(self) -> generation_pb2.Completion:
        assert self.failure is None, self.failure
        return self.events[-1].completion

    @property
    def violated(self) -> list[str]:
        assert self.failure is not None, self.kinds
        assert self.failure.code is grpc.StatusCode.INVALID_ARGUMENT, self.failure
        return [violation.field for violation in self.failure.violations]


class Client:
    """A plain gRPC client of one router."""

    def __init__(self, address: str, *, tls: ClientTls | None = None) -> None:
        self._channel = open_channel(address, tls=tls)
        self.stub: inference_pb2_grpc.InferenceAsyncStub = inference_pb2_grpc.InferenceStub(self._channel)

    async def generate(
        self,
        request: generation_pb2.GenerateRequest | None = None,
        *,
        metadata: Metadata = (),
        timeout: float = 10.0,  # noqa: ASYNC109, gRPC's own
        accepted: asyncio.Event | None = None,
        **fields: Any,  # noqa: ANN401
    ) -> Answer:
        """Send a request and return all that comes back; never raises for what the server says.

        `accepted` is set with the first message.
        """
        asked = request or generation_pb2.GenerateRequest(**{"prompt": "Once upon a time", **fields})
        answer = Answer()
        call = self.stub.Generate(asked, metadata=tuple(metadata), timeout=timeout)
        try:
            async for event in call:
                answer.events.append(event)
                if accepted is not None:
                    accepted.set()
        except grpc.aio.AioRpcError as error:
            answer.failure = failure_of(error)
        answer.trailers = dict(await call.trailing_metadata() or ())
        return answer

    async def status(self) -> inference_pb2.ClusterStatusResponse:
        return await self.stub.ClusterStatus(inference_pb2.ClusterStatusRequest())

    async def close(self) -> None:
        await self._channel.close()


class RouterUnderTest(Client):
    """One router, serving within the `async with` block."""

    def __init__(self, *replicas: str, **settings: object) -> None:
        self.document = {
            "cluster": "tests/cluster",
            "router": "router-under-test",
            "listen": "127.0.0.1:0",
            "model": "test-model",
            "placementWait": "500ms",
            "drainGrace": "2s",
            **({"replicas": list(replicas)} if replicas else {}),
            **settings,
        }
        self.router = Router(parse_settings(self.document))
        self.endpoints = Endpoints("", None)
        self._stop = asyncio.Event()

    async def __aenter__(self) -> "RouterUnderTest":
        ready: asyncio.Future[Endpoints] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self.router.run(self._stop, ready.set_result))
        await asyncio.wait((self._task, ready), return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            await self._task
        self.endpoints = await ready
        super().__init__(self.endpoints.grpc)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        await self.stop()

    async def stop(self) -> None:
        self._stop.set()
        await self._task

    def reconfigure(self, **settings: object) -> None:
        self.router.apply(parse_settings({**self.document, **settings}))


async def until(condition: Any, within: float = 5.0) -> None:  # noqa: ANN401
    """Wait until a condition holds; fails with what it said last."""
    async with asyncio.timeout(within):
        while True:
            held = condition()
            if asyncio.iscoroutine(held):
                held = await held
            if held:
                return
            await asyncio.sleep(0.01)
