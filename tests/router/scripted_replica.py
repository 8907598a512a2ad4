"""A replica that follows a script: a real server of the real protocol, for what an engine does only by chance.

Each request is answered by the next act of the script; the last act is repeated. An act is an async generator of the
events of one stream.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
from niyama.v1 import describe_pb2, generation_pb2, load_pb2, replica_pb2, replica_pb2_grpc
from niyama_core.load import ReplicaLoad
from niyama_runtime import wire
from niyama_runtime.grpc_server import GrpcServer, ServerSettings
from niyama_runtime.tls import ServerTls

Context = grpc.aio.ServicerContext[Any, Any]
Event = generation_pb2.GenerateResponse
Act = Callable[["ScriptedReplica", replica_pb2.ReplicaGenerateRequest, Any], AsyncIterator[Event]]


@dataclass(slots=True)
class ScriptedReplica(replica_pb2_grpc.ReplicaServicer):
    """One replica.

    Attributes:
        name: of the replica.
        acts: what it does with the first request, the second, ...
        seen: the requests that came.
        num_cancelled: streams that the router cancelled.
        load: what it says when it is asked.
        tls: how it is spoken to; None without TLS.
    """

    name: str
    acts: list[Act] = field(default_factory=list)
    seen: list[replica_pb2.ReplicaGenerateRequest] = field(default_factory=list)
    num_cancelled: int = 0
    num_asked: int = 0
    load: ReplicaLoad = field(init=False)
    tls: ServerTls | None = None
    _server: GrpcServer | None = None
    _address: str = "127.0.0.1:0"

    def __post_init__(self) -> None:
        self.load = ReplicaLoad(
            self.name,
            "",
            incarnation=1,
            prefill_tokens_per_second=10_000.0,
            iteration_seconds=0.01,
            engine="paced",
            model="test-model",
            bytes_per_token=4.0,
            context_tokens=4096,
        )

    @property
    def address(self) -> str:
        assert self._server is not None
        return self._server.address

    async def start(self) -> None:
        self._server = GrpcServer(ServerSettings(self._address, tls=self.tls), ["niyama.v1.Replica"])
        replica_pb2_grpc.add_ReplicaServicer_to_server(self, self._server.registry)
        await self._server.start()
        self._address = self._server.address

    async def stop(self, grace: float = 0) -> None:
        if self._server is not None:
            await self._server.stop(grace)

    async def Generate(  # noqa: N802
        self, request: replica_pb2.ReplicaGenerateRequest, context: Context
    ) -> AsyncIterator[Event]:
        act = self.acts[min(len(self.seen), len(self.acts) - 1)] if self.acts else answering(3)
        self.seen.append(request)
        try:
            async for event in act(self, request, context):
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            self.num_cancelled += 1
            raise

    async def GetLoad(self, request: replica_pb2.GetLoadRequest, context: Context) -> load_pb2.ReplicaLoad:  # noqa: N802
        self.num_asked += 1
        return wire.load_to_wire(self.load)

    async def Abort(self, request: replica_pb2.AbortRequest, context: Context) -> replica_pb2.AbortResponse:  # noqa: N802
        return replica_pb2.AbortResponse()

    async def Drain(self, request: replica_pb2.DrainRequest, context: Context) -> replica_pb2.DrainResponse:  # noqa: N802
        return replica_pb2.DrainResponse()

    async def Describe(  # noqa: N802
        self, request: describe_pb2.DescribeRequest, context: Context
    ) -> describe_pb2.DescribeResponse:
        return describe_pb2.DescribeResponse(engine="paced", profile="scripted")


def accepted(replica: ScriptedReplica, request: replica_pb2.ReplicaGenerateRequest) -> Event:
    return Event(
        accepted=generation_pb2.Accepted(
            request_id=request.request.request_id, promise=request.promise, replica=replica.name, engine="paced"
        )
    )


def tokens(position: int, token_ids: Iterable[int], *, num_bytes: int = 1) -> Event:
    ids = list(token_ids)
    text = "x" * num_bytes * len(ids)
    return Event(tokens=generation_pb2.Tokens(position=position, token_ids=ids, text=text, emitted_us=[0] * len(ids)))


def relegated(*, before_first_token: bool = True) -> Event:
    return Event(relegated=generation_pb2.Relegated(before_first_token=before_first_token))


def handed_back(reason: generation_pb2.HandBackReason = generation_pb2.HAND_BACK_REASON_DRAINING) -> Event:
    return Event(handed_back=generation_pb2.HandedBack(reason=reason))


def completion(
    replica: ScriptedReplica, request: replica_pb2.ReplicaGenerateRequest, num_tokens: int, *, on_time: bool = True
) -> Event:
    message = generation_pb2.Completion(
        finish_reason=generation_pb2.FINISH_REASON_LENGTH,
        qos_class=request.promise.qos_class,
        replica=replica.name,
        engine="paced",
        num_output_tokens=num_tokens,
        relegation=generation_pb2.RELEGATION_NONE,
        on_time=on_time,
    )
    message.ttft.FromMilliseconds(120)
    message.largest_tbt.FromMilliseconds(30)
    message.ttlt.FromMilliseconds(450)
    return Event(completion=message)


def answering(num_tokens: int, *, pause: float = 0.0, num_bytes: int = 1) -> Act:
    """Accept, send that many tokens of so many bytes, one a message, and complete."""

    async def act(
        replica: ScriptedReplica, request: replica_pb2.ReplicaGenerateRequest, context: Context
    ) -> AsyncIterator[Event]:
        yield accepted(replica, request)
        for position in range(num_tokens):
            await asyncio.sleep(pause)
            yield tokens(position, [position], num_bytes=num_bytes)
        yield completion(replica, request, num_tokens)

    return act


def going_on(num_tokens: int, *, seconds: float = 0.4) -> Act:
    """Go on behind the tokens that are there until there are that many, emitted after so many seconds, and complete."""

    async def act(
        replica: ScriptedReplica, request: replica_pb2.ReplicaGenerateRequest, context: Context
    ) -> AsyncIterator[Event]:
        yield accepted(replica, request)
        for position in range(len(request.emitted_token_ids), num_tokens):
            event = tokens(position, [position])
            event.tokens.emitted_us[0] = round(1e6 * seconds)
            yield event
        yield completion(replica, request, num_tokens, on_time=False)

    return act


def failing(code: grpc.StatusCode, *, num_tokens: int = 0) -> Act:
    async def act(
        replica: ScriptedReplica, request: replica_pb2.ReplicaGenerateRequest, context: Context
    ) -> AsyncIterator[Event]:
        async for event in saying(*(tokens(n, [n]) for n in range(num_tokens)))(replica, request, context):
            yield event
        await context.abort(code, "the engine is gone")

    return act


def failing_later(code: grpc.StatusCode, *, num_tokens: int) -> Act:
    """Go on behind the tokens that the client has with so many more, then fail."""

    async def act(
        replica: ScriptedReplica, request: replica_pb2.ReplicaGenerateRequest, context: Context
    ) -> AsyncIterator[Event]:
        first = len(request.emitted_token_ids)
        yield accepted(replica, request)
        yield tokens(first, range(first, first + num_tokens))
        await context.abort(code, "the engine is gone")

    return act


def saying(*events: Event | float, forever: bool = False, whole: bool = False) -> Act:
    """Accept, then send these events, pausing where a number of seconds stands; then end, complete, or stay silent."""

    async def act(
        replica: ScriptedReplica, request: replica_pb2.ReplicaGenerateRequest, context: Context
    ) -> AsyncIterator[Event]:
        yield accepted(replica, request)
        for event in events:
            if isinstance(event, float):
                await asyncio.sleep(event)
            else:
                yield event
        if forever:
            await asyncio.Event().wait()
        if whole:
            yield completion(replica, request, len(events))

    return act
