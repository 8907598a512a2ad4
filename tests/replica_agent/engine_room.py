"""A paced engine under a virtual clock, and what the readers of its streams see."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from niyama_agent.engine import EngineEvent, EngineRequest, LastEvent, TokensEmitted
from niyama_agent.paced_engine import PacedEngine, PacedSettings
from niyama_core.journal import IterationRecord
from niyama_core.latency import LatencyModel
from niyama_core.policies import SchedulerSettings
from niyama_core.request import Request
from niyama_runtime.clock import Clock, VirtualClock

from tests.builders import A100, a_request

T = TypeVar("T")


@dataclass(slots=True)
class EngineRoom:
    """An engine that runs, its clock, and a record of each of its iterations."""

    engine: PacedEngine
    clock: Clock
    records: list[IterationRecord] = field(default_factory=list)

    def open(self, request: EngineRequest) -> "Reader":
        """Send a request and read all that comes."""
        return Reader(self.engine, request)

    async def answer(self, request: EngineRequest) -> "Reader":
        """Send a request and return its reader when the answer has ended."""
        reader = self.open(request)
        await reader.finished()
        return reader


class Reader:
    """Reads a request's events as they come, in a task of its own."""

    def __init__(self, engine: PacedEngine, request: EngineRequest) -> None:
        self.events: list[EngineEvent] = []
        self._task = asyncio.create_task(self._read(engine, request))

    @property
    def token_ids(self) -> list[int]:
        return [token for event in self.events if isinstance(event, TokensEmitted) for token in event.token_ids]

    @property
    def emitted_at(self) -> list[float]:
        return [at for event in self.events if isinstance(event, TokensEmitted) for at in event.emitted_at]

    @property
    def last(self) -> EngineEvent:
        assert isinstance(self.events[-1], LastEvent), self.events[-1]
        return self.events[-1]

    async def finished(self) -> None:
        """Wait until there is nothing more to read, and raise what reading raised."""
        await self._task

    async def leave(self) -> None:
        """Stop reading, as a client does that hangs up."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _read(self, engine: PacedEngine, request: EngineRequest) -> None:
        async with aclosing(engine.generate(request)) as events:
            async for event in events:
                self.events.append(event)


@asynccontextmanager
async def running_engine(
    clock: Clock,
    *,
    law: LatencyModel = A100.law,
    kv_tokens: int = A100.kv_capacity_tokens,
    scheduler: SchedulerSettings | None = None,
    **settings: float,
) -> AsyncIterator[EngineRoom]:
    """Run an engine until the end of the block; `settings` are `speed`, `noise` and `seed`."""
    records: list[IterationRecord] = []
    profile = replace(A100, law=law, kv_capacity_tokens=kv_tokens)
    paced = replace(
        PacedSettings(profile=profile, replay=True, scheduler=scheduler or SchedulerSettings()),
        **settings,  # type: ignore[arg-type]
    )
    engine = PacedEngine(paced, clock, on_iteration=records.append)
    running = asyncio.create_task(engine.run())
    try:
        yield EngineRoom(engine, clock, records)
    finally:
        running.cancel()
        await asyncio.wait([running])


def in_virtual_time(story: Callable[[VirtualClock], Awaitable[T]]) -> T:
    """Tell a story under a clock that jumps as soon as everybody waits, and return what comes of it."""
    clock = VirtualClock()

    async def told() -> T:
        return await story(clock)

    async def driven() -> T:
        return await clock.drive(told())

    return asyncio.run(driven())


def asks(
    request: Request | None = None,
    *,
    output: int | None = None,
    prompt: Sequence[int] | None = None,
    emitted: Sequence[int] = (),
) -> EngineRequest:
    """Return a request whose answer has `output` tokens, with a prompt of as many tokens as it says."""
    request = request or a_request()
    token_ids = range(request.num_prompt_tokens) if prompt is None else prompt
    resumed = replace(
        request,
        num_prompt_tokens=len(token_ids) + len(emitted),
        max_output_tokens=request.max_output_tokens - len(emitted),
    )
    return EngineRequest(
        request=resumed, prompt_token_ids=token_ids, emitted_token_ids=tuple(emitted), replay_output_tokens=output
    )
