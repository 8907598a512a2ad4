"""The requests of a run, and what their clients see of them: each token and when it came, moves, errors.

Most are sent by the SDK, which goes on at another router when one is lost. A share are sent by plain gRPC clients, each
to one router, that try nothing twice: what they see is counted apart.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import grpc
from niyama.v1 import generation_pb2, inference_pb2_grpc
from niyama_agent.paced_tokens import complaint
from niyama_client import Client, NiyamaError
from niyama_runtime.grpc_channel import open_channel
from niyama_runtime.status import failure_of

__all__ = ["CLASSES", "MEAN_PROMPT_TOKENS", "Ending", "Stream", "Traffic", "TrafficPlan"]

CLASSES = ("chat", "summarise", "nightly")
MEAN_PROMPT_TOKENS = 2000

_MAX_TOKENS = 120
# Nothing is waited for longer: what has not ended by then is lost.
_TIMEOUT_SECONDS = 120.0


class Ending(Enum):
    """How a stream ended, as its client saw it."""

    OPEN = "open"
    """Nothing has been heard of it in the end: it is lost."""
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(slots=True)
class Stream:
    """One request as its client sees it; instants are of this process's clock.

    Attributes:
        number: of the request.
        is_plain: whether its client is a plain gRPC client.
        sent: when.
        accepted: whether a router said that it has taken it on.
        tokens: that came.
        times: at which they came.
        ending: how it ended.
        error: what its client was told instead of an answer.
        difference: how the answer differs from an undisturbed one; nothing when it does not.
        num_moves: from replica to replica, as its last router counted.
        num_calls: of the SDK; more than one when it went on at another router.
    """

    number: int
    is_plain: bool
    sent: float
    accepted: bool = False
    tokens: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    ending: Ending = Ending.OPEN
    error: str = ""
    difference: str = ""
    num_moves: int = 0
    num_calls: int = 1

    @property
    def prompt(self) -> list[int]:
        """The prompt, which no other request has."""
        rng = random.Random(self.number)
        return [self.number, *(rng.randrange(1000) for _ in range(rng.randrange(1, 2 * MEAN_PROMPT_TOKENS)))]

    @property
    def qos_class(self) -> str:
        """The class of its promise."""
        return CLASSES[self.number % len(CLASSES)]

    def take(self, token_ids: Sequence[int]) -> None:
        """Note tokens that have come this moment."""
        self.tokens += token_ids
        self.times += [time.monotonic()] * len(token_ids)

    def end(self, ending: Ending, error: str = "") -> None:
        """Note the end, and compare what came with what should have."""
        self.ending, self.error = ending, error
        is_whole = ending is Ending.COMPLETED
        self.difference = complaint(self.prompt, self.tokens, max_tokens=_MAX_TOKENS, is_whole=is_whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPlan:
    """What is sent.

    Attributes:
        per_second: how many requests, on average.
        num_requests: after which nothing more is sent; None for no bound.
        plain_share: of the plain gRPC clients.
        seed: of the times between requests.
    """

    per_second: float
    num_requests: int | None = None
    plain_share: float = 0.1
    seed: int = 1


class Traffic:
    """Sends requests and keeps what became of them.

    Attributes:
        streams: all that were sent.
    """

    def __init__(self, plan: TrafficPlan, routers: Sequence[str]) -> None:
        """Send what `plan` says to the routers at these addresses."""
        self._plan = plan
        self._routers = routers
        self._rng = random.Random(plan.seed)
        self._over = asyncio.Event()
        self._channels: list[grpc.aio.Channel] = []
        self.streams: list[Stream] = []

    @property
    def is_over(self) -> bool:
        """Whether nothing more is sent."""
        return self._over.is_set()

    def end(self) -> None:
        """Send nothing more; what is open goes on."""
        self._over.set()

    async def run(self) -> None:
        """Send until the number is reached or `end`, and return when all has ended."""
        self._channels = [open_channel(address) for address in self._routers]
        try:
            async with Client(",".join(self._routers), app="losses") as client, asyncio.TaskGroup() as requests:
                while not self.is_over:
                    requests.create_task(self._ask(client))
                    if len(self.streams) + 1 == self._plan.num_requests:
                        self.end()
                    await self._pause()
        finally:
            for channel in self._channels:
                await channel.close()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._rng.expovariate(self._plan.per_second)):
                await self._over.wait()
        except TimeoutError:
            return

    async def _ask(self, client: Client) -> None:
        number = len(self.streams)
        stream = Stream(number, self._rng.random() < self._plan.plain_share, time.monotonic())
        self.streams.append(stream)
        if stream.is_plain:
            await _ask_plainly(stream, self._channels[number % len(self._channels)])
        else:
            await _ask_by_sdk(stream, client)


async def _ask_by_sdk(stream: Stream, client: Client) -> None:
    generation = client.generate(
        stream.prompt,
        qos=stream.qos_class,
        max_tokens=_MAX_TOKENS,
        request_id=f"sdk-{stream.number}",
        timeout=_TIMEOUT_SECONDS,
    )
    try:
        async for token in generation:
            stream.accepted = True
            stream.take([token.id])
        stream.num_moves = generation.completion.num_moves
        stream.end(Ending.COMPLETED)
    except NiyamaError as error:
        stream.end(Ending.OPEN if error.code == "DEADLINE_EXCEEDED" else Ending.FAILED, f"{error.code}: {error}")
    stream.num_calls = generation.num_calls


async def _ask_plainly(stream: Stream, channel: grpc.aio.Channel) -> None:
    request = generation_pb2.GenerateRequest(request_id=f"plain-{stream.number}", max_tokens=_MAX_TOKENS)
    request.prompt_tokens.ids.extend(stream.prompt)
    request.qos.qos_class = stream.qos_class
    stub: inference_pb2_grpc.InferenceAsyncStub = inference_pb2_grpc.InferenceStub(channel)
    try:
        async for message in stub.Generate(request, timeout=_TIMEOUT_SECONDS):
            stream.accepted = True
            stream.take(message.tokens.token_ids)
            stream.num_moves = message.completion.num_moves
        stream.end(Ending.COMPLETED)
    except grpc.aio.AioRpcError as error:
        failure = failure_of(error)
        is_lost = failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
        stream.end(Ending.OPEN if is_lost else Ending.FAILED, f"{failure.code.name}: {failure.message}")
