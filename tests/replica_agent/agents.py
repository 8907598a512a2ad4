"""Agents in this very process behind real gRPC, and what a caller sees of one call."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import duration_pb2
from niyama.v1 import describe_pb2, generation_pb2, load_pb2, qos_pb2, replica_pb2, replica_pb2_grpc
from niyama_agent.agent import Agent, Endpoints
from niyama_agent.settings import parse_settings
from niyama_runtime.clock import MonotonicClock
from niyama_runtime.grpc_channel import open_channel
from niyama_runtime.status import Failure, failure_of

QUICK = {"speed": 20.0, "replay": True}


@dataclass(slots=True)
class Answer:
    """What a caller saw of one call."""

    messages: list[generation_pb2.GenerateResponse] = field(default_factory=list)
    failure: Failure | None = None

    @property
    def kinds(self) -> list[str]:
        """The kinds of the messages, tokens once however many messages they took."""
        kinds = [str(message.WhichOneof("event")) for message in self.messages]
        return [kind for i, kind in enumerate(kinds) if kind != "tokens" or kinds[i - 1] != "tokens"]

    @property
    def tokens(self) -> list[generation_pb2.Tokens]:
        return [message.tokens for message in self.messages if message.HasField("tokens")]

    @property
    def token_ids(self) -> list[int]:
        return [token for tokens in self.tokens for token in tokens.token_ids]

    @property
    def emitted_us(self) -> list[int]:
        return [instant for tokens in self.tokens for instant in tokens.emitted_us]

    @property
    def completion(self) -> generation_pb2.Completion:
        assert self.failure is None, self.failure
        return self.messages[-1].completion

    @property
    def violated(self) -> list[str]:
        assert self.failure is not None, self.kinds
        assert self.failure.code is grpc.StatusCode.INVALID_ARGUMENT, self.failure
        return [violation.field for violation in self.failure.violations]


class Caller:
    """Calls one agent, as a router does."""

    def __init__(self, address: str) -> None:
        self.channel = open_channel(address)
        self.stub: replica_pb2_grpc.ReplicaAsyncStub = replica_pb2_grpc.ReplicaStub(self.channel)

    async def generate(self, request: replica_pb2.ReplicaGenerateRequest) -> Answer:
        """Send a request and return all that comes back; never raises for what the server says."""
        answer = Answer()
        try:
            async for message in self.stub.Generate(request, timeout=20):
                answer.messages.append(message)
        except grpc.aio.AioRpcError as error:
            answer.failure = failure_of(error)
        return answer

    async def load(self) -> load_pb2.ReplicaLoad:
        return await self.stub.GetLoad(replica_pb2.GetLoadRequest())

    async def describe(self) -> describe_pb2.DescribeResponse:
        return await self.stub.Describe(describe_pb2.DescribeRequest())

    async def load_without_work(self) -> load_pb2.ReplicaLoad:
        """Wait until nothing is on the replica; the test's own timeout is the bound."""
        while (load := await self.load()).classes or load.kv_used_tokens:  # noqa: ASYNC110, another task's state
            await asyncio.sleep(0.01)
        return load


@dataclass(slots=True)
class Running:
    """An agent that serves, and a caller of it."""

    agent: Agent
    endpoints: Endpoints
    caller: Caller
    stop: asyncio.Event
    served: "asyncio.Task[None]"


def settings_document(**fields: object) -> dict[str, object]:
    """Return the configuration of a quick agent, with some fields put over it."""
    document: dict[str, object] = {
        "cluster": "default/llama",
        "replica": "llama-0",
        "model": "llama",
        "engine": QUICK,
        "drainGrace": "5s",
    }
    return document | fields


@asynccontextmanager
async def running_agent(**fields: object) -> AsyncIterator[Running]:
    """Run an agent until the end of the block; `fields` go over its configuration."""
    agent = Agent(parse_settings(settings_document(**fields)), MonotonicClock())
    stop = asyncio.Event()
    ready: asyncio.Future[Endpoints] = asyncio.get_running_loop().create_future()
    served = asyncio.create_task(agent.serve(stop, ready.set_result))
    await asyncio.wait((served, ready), return_when=asyncio.FIRST_COMPLETED)
    if served.done():
        served.result()
    endpoints = await ready
    caller = Caller(endpoints.grpc)
    try:
        yield Running(agent, endpoints, caller, stop, served)
    finally:
        await caller.channel.close()
        stop.set()
        await asyncio.wait([served])


def seconds(number: float) -> duration_pb2.Duration:
    message = duration_pb2.Duration()
    message.FromNanoseconds(round(number * 1e9))
    return message


def chat_promise(*, ttft: float = 6.0, tbt: float = 0.05) -> qos_pb2.Promise:
    """Return an interactive promise."""
    interactive = qos_pb2.Interactive(ttft=seconds(ttft), tbt=seconds(tbt))
    return qos_pb2.Promise(qos_class="chat", interactive=interactive, importance=qos_pb2.IMPORTANCE_HIGH)


def batch_promise(*, ttlt: float = 600.0) -> qos_pb2.Promise:
    """Return a batch promise."""
    return qos_pb2.Promise(qos_class="summarise", batch=qos_pb2.Batch(ttlt=seconds(ttlt)))


def a_message(
    request_id: str = "one",
    *,
    prompt: str = "Once upon a time",
    output: int = 0,
    promise: qos_pb2.Promise | None = None,
    request: Mapping[str, Any] | None = None,
    **fields: Any,  # noqa: ANN401, those of the message
) -> replica_pb2.ReplicaGenerateRequest:
    """Return a request as a router sends it, with an answer of `output` tokens; `request` is what the client said."""
    inner = {"request_id": request_id, "prompt": prompt, "replay_output_tokens": output, **(request or {})}
    return replica_pb2.ReplicaGenerateRequest(
        request=generation_pb2.GenerateRequest(**inner), promise=promise or chat_promise(), **fields
    )
