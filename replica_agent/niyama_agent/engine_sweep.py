"""Drives an engine through iterations of many shapes, so that their times can be learned.

A point of the grid is a token budget and a number of decodes. The engine is told to fill every iteration to the budget
(policy `sarathi-fcfs`), so many requests are brought to their first token and kept decoding, and prompts are sent that
fill a few iterations beside them. Prompts are random tokens, so no prefix is ever cached.
"""

import asyncio
import random
from contextlib import aclosing
from dataclasses import dataclass

from niyama_core.policies import SchedulerSettings
from niyama_core.request import Request
from niyama_core.slo import Batch, Promise

from niyama_agent.engine import AbortReason, Engine, EngineRequest, TokensEmitted

__all__ = ["FULL_SWEEP", "QUICK_SWEEP", "Sweep", "SweepPoint", "SweepRun", "sweep_points"]

_PROMISE = Promise("sweep", Batch(ttlt=3600.0))
_ENDLESS = 1_000_000
_POLICY = "sarathi-fcfs"


@dataclass(frozen=True, slots=True)
class Sweep:
    """A grid.

    Attributes:
        token_budgets: of an iteration; those beyond the engine's own bound are left out.
        num_decodes: sequences that decode meanwhile.
        decode_contexts: tokens of their prompts.
        num_iterations: to fill at each point.
    """

    token_budgets: tuple[int, ...]
    num_decodes: tuple[int, ...]
    decode_contexts: tuple[int, ...]
    num_iterations: int


QUICK_SWEEP = Sweep((32, 128, 512), (0, 8), (64,), 3)
"""A few seconds: what an agent does at its start where nothing is known."""

FULL_SWEEP = Sweep((16, 32, 64, 128, 256, 512, 1024, 2048, 4096), (0, 1, 8, 32, 96), (32, 512), 8)
"""Minutes: what `niyama profile collect` does."""


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One point of a grid; the attributes are those of `Sweep`."""

    token_budget: int
    num_decodes: int
    decode_context: int
    num_iterations: int


def sweep_points(sweep: Sweep, *, most_tokens: int, most_sequences: int) -> list[SweepPoint]:
    """Return the points of a grid that an engine can run, which holds so many tokens and sequences in an iteration."""
    return [
        SweepPoint(budget, number, context, sweep.num_iterations)
        for number in sweep.num_decodes
        for context in (sweep.decode_contexts if number else sweep.decode_contexts[:1])
        for budget in sweep.token_budgets
        if number < min(budget, most_sequences) and budget <= most_tokens
    ]


class SweepRun:
    """Runs points on an engine that nobody else uses.

    Args:
        engine: that runs.
        vocabulary_size: token ids below it are the model's.
        seed: of the prompts.
    """

    def __init__(self, engine: Engine, *, vocabulary_size: int = 250, seed: int = 0) -> None:
        """Run nothing yet."""
        self._engine = engine
        self._rng = random.Random(seed)
        self._vocabulary_size = vocabulary_size
        self._num_requests = 0

    async def run_point(self, point: SweepPoint) -> None:
        """Run one point."""
        self._engine.reschedule(SchedulerSettings(_POLICY, token_budget=point.token_budget, calibrated=False))
        decoders = [self._decoder(point) for _ in range(point.num_decodes)]
        try:
            await asyncio.gather(*(begun.wait() for _, begun, _ in decoders))
            await asyncio.gather(*(self._prefill(length) for length in self._prompts(point)))
        finally:
            for request_id, _, reading in decoders:
                await self._engine.abort(request_id, AbortReason.ASKED)
                await reading

    def _prompts(self, point: SweepPoint) -> list[int]:
        """Return lengths that fill the iterations of a point, with contexts as long as the engine takes."""
        left = point.num_iterations * (point.token_budget - point.num_decodes)
        longest = min(4 * point.token_budget, self._engine.facts.context_tokens - 8)
        lengths = []
        while left > 0:
            lengths.append(min(left, longest))
            left -= lengths[-1]
        return lengths

    def _decoder(self, point: SweepPoint) -> "tuple[str, asyncio.Event, asyncio.Task[None]]":
        context = min(point.decode_context, self._engine.facts.context_tokens // 2)
        request, begun = self._request(context, _ENDLESS), asyncio.Event()
        return request.request.request_id, begun, asyncio.create_task(self._read(request, begun))

    async def _prefill(self, length: int) -> None:
        await self._read(self._request(length, 1), asyncio.Event())

    async def _read(self, request: EngineRequest, begun: asyncio.Event) -> None:
        async with aclosing(self._engine.generate(request)) as events:
            async for event in events:
                if isinstance(event, TokensEmitted):
                    begun.set()
        begun.set()

    def _request(self, num_prompt_tokens: int, num_output_tokens: int) -> EngineRequest:
        self._num_requests += 1
        room = self._engine.facts.context_tokens - num_prompt_tokens
        cap = min(num_output_tokens, room)
        request = Request(f"sweep-{self._num_requests}", _PROMISE, 0.0, num_prompt_tokens, cap)
        prompt = [self._rng.randrange(3, self._vocabulary_size) for _ in range(num_prompt_tokens)]
        return EngineRequest(request=request, prompt_token_ids=prompt, replay_output_tokens=cap)
