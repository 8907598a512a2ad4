"""How much a cluster can take: a fixed number of requests kept open, each followed by the next when it ends.

A closed loop never overloads; it finds the throughput at which a cluster saturates, which overloads are multiples of.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle

from niyama_client.connection import Target
from niyama_eval.outcomes import OutcomeState, RequestOutcome
from niyama_eval.workloads import WorkloadRequest
from niyama_runtime.clock import MonotonicClock

from niyama_cli.load_generator import LoadGenerator, LoadSettings, load_generator

__all__ = ["ClosedLoop", "ClosedLoopRun", "Saturation", "closed_loop", "saturation_throughput"]


_GAIN = 1.05
_MOST_STEPS = 10


@dataclass(frozen=True, slots=True)
class ClosedLoopRun:
    """A closed loop of one concurrency.

    Attributes:
        concurrency: requests that were open at a time.
        seconds: how long it was measured, after it had settled.
        num_completed: requests that ended well in that time.
    """

    concurrency: int
    seconds: float
    num_completed: int

    @property
    def throughput(self) -> float:
        """Completed requests per second."""
        return self.num_completed / self.seconds

    def joined(self, later: "ClosedLoopRun") -> "ClosedLoopRun":
        """Return this run and one that followed on it as one."""
        return ClosedLoopRun(self.concurrency, self.seconds + later.seconds, self.num_completed + later.num_completed)


@dataclass(frozen=True, slots=True)
class Saturation:
    """Where a cluster's throughput stops rising.

    Attributes:
        runs: each concurrency that was tried, in order; the last gained next to nothing over the one before.
    """

    runs: tuple[ClosedLoopRun, ...]

    @property
    def throughput(self) -> float:
        """Completed requests per second of the last two runs together, between which nothing was gained.

        The best of all runs would be the luckiest.
        """
        plateau = self.runs[-2:]
        return sum(run.num_completed for run in plateau) / sum(run.seconds for run in plateau)

    @property
    def concurrency(self) -> int:
        """Requests that were open then."""
        return self.runs[-1].concurrency


async def closed_loop(
    address: Target | str,
    requests: Sequence[WorkloadRequest],
    *,
    concurrency: int,
    seconds: float,
    settings: LoadSettings | None = None,
) -> list[RequestOutcome]:
    """Keep `concurrency` requests open for `seconds`, over and over, and return what has ended in that time."""
    async with load_generator(address, settings=settings) as generator, asyncio.TaskGroup() as group:
        loop = ClosedLoop(generator, requests)
        loop.grow(group, concurrency)
        await asyncio.sleep(seconds)
        loop.stop()
    return loop.outcomes


async def saturation_throughput(
    address: Target | str,
    requests: Sequence[WorkloadRequest],
    *,
    step_seconds: float,
    confirm_seconds: float = 0.0,
    first: int = 8,
    settings: LoadSettings | None = None,
) -> Saturation:
    """Double the number of open requests until that no longer gains 5 %, and return the throughput there.

    Each step takes `step_seconds` to settle and as long again to be measured; the last one is measured for
    `confirm_seconds` more, because it is the one that is quoted.
    """
    runs: list[ClosedLoopRun] = []
    async with load_generator(address, settings=settings) as generator, asyncio.TaskGroup() as group:
        loop = ClosedLoop(generator, requests)
        while not _has_stopped_rising(runs):
            loop.grow(group, first * 2 ** len(runs))
            await asyncio.sleep(step_seconds)
            runs.append(await loop.measure(step_seconds))
        if confirm_seconds > 0:
            runs[-1] = runs[-1].joined(await loop.measure(confirm_seconds))
        loop.stop()
    return Saturation(tuple(runs))


def _has_stopped_rising(runs: Sequence[ClosedLoopRun]) -> bool:
    if len(runs) < 2:
        return False
    return runs[-1].throughput <= _GAIN * max(run.throughput for run in runs[:-1]) or len(runs) >= _MOST_STEPS


class ClosedLoop:
    """Keeps so many requests open by sending the next when one ends, from the first again after the last.

    Attributes:
        outcomes: of the requests that have ended.
        num_completed: how many of them ended well.
    """

    def __init__(self, generator: LoadGenerator, requests: Sequence[WorkloadRequest]) -> None:
        """Prepare; `requests` is not empty."""
        self._generator = generator
        self._rounds = cycle(requests)
        self._clock = MonotonicClock()
        self._num_taken = 0
        self._workers: list[asyncio.Task[None]] = []
        self.outcomes: list[RequestOutcome] = []
        self.num_completed = 0

    @property
    def concurrency(self) -> int:
        """How many requests are open."""
        return len(self._workers)

    def grow(self, group: asyncio.TaskGroup, concurrency: int) -> None:
        """Open more requests until `concurrency` are open."""
        self._workers += [group.create_task(self._work()) for _ in range(concurrency - self.concurrency)]

    async def measure(self, seconds: float) -> ClosedLoopRun:
        """Return what ends well within `seconds` from now."""
        start, before = self._clock.now(), self.num_completed
        await asyncio.sleep(seconds)
        return ClosedLoopRun(self.concurrency, self._clock.now() - start, self.num_completed - before)

    def stop(self) -> None:
        """Cancel what is open; it has no outcome."""
        for worker in self._workers:
            worker.cancel()

    async def _work(self) -> None:
        while True:
            self._num_taken += 1
            outcome = await self._generator.send(replace(next(self._rounds), request_id=f"closed{self._num_taken}"))
            self.outcomes.append(outcome)
            completed = outcome.state is OutcomeState.COMPLETED
            self.num_completed += completed
            if not completed:
                # A cluster that refuses at once must not be hammered.
                await asyncio.sleep(0.1)
