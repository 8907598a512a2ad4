"""Memory and file descriptors of processes over a run, and whether they grow.

A process is warm after a third of the time. Of the rest, a line is laid through the memory, and what it rises from one
end to the other is compared with a bound; of file descriptors, the median of the last third with that of the second.
"""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from bench.losses.stage import Stage

__all__ = ["Sample", "Steadiness", "Watcher", "judge"]

_EVERY_SECONDS = 1.0
_FEW_SAMPLES = 30
# What an allocator keeps at its own will.
_MORE_BYTES = 8e6
_MORE_SHARE = 0.1
_MORE_FILES = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process held at one instant: bytes of memory, and open files and sockets."""

    time: float
    memory: float
    num_files: int


@dataclass(frozen=True, slots=True)
class Steadiness:
    """What is judged of one process.

    Attributes:
        memory: bytes, on average since it was warm.
        growth: bytes that it grew since then.
        num_files: open in the end, the median.
        more_files: than in the third before.
    """

    memory: float
    growth: float
    num_files: float
    more_files: float

    @property
    def is_flat(self) -> bool:
        """Whether neither grows beyond what is left to chance."""
        return self.growth <= max(_MORE_BYTES, _MORE_SHARE * self.memory) and self.more_files <= _MORE_FILES


def judge(samples: Sequence[Sample]) -> Steadiness | None:
    """Return what is to be said of a process; None when it was not there for long."""
    if len(samples) < _FEW_SAMPLES:
        return None
    third = len(samples) // 3
    warm, before, last = samples[third:], samples[third : 2 * third], samples[2 * third :]
    times, memory = [sample.time for sample in warm], [sample.memory for sample in warm]
    slope, _ = statistics.linear_regression(times, memory)
    num_files = statistics.median(sample.num_files for sample in last)
    return Steadiness(
        memory=statistics.fmean(memory),
        growth=slope * (times[-1] - times[0]),
        num_files=num_files,
        more_files=num_files - statistics.median(sample.num_files for sample in before),
    )


@dataclass(slots=True)
class Watcher:
    """Looks at the routers and replicas every second.

    Attributes:
        samples: of each process, by role and id.
    """

    samples: dict[tuple[str, int], list[Sample]] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def watching(self, stage: Stage) -> AsyncIterator[None]:
        """Look as long as the block lasts."""
        looking = asyncio.create_task(self._keep_looking(stage))
        try:
            yield
        finally:
            looking.cancel()

    def judged(self) -> Mapping[tuple[str, int], Steadiness]:
        """Return what is to be said of those that were there for long."""
        found = {key: judge(samples) for key, samples in self.samples.items()}
        return {key: steadiness for key, steadiness in found.items() if steadiness is not None}

    async def _keep_looking(self, stage: Stage) -> None:
        while True:
            for name in (*stage.cast.routers, *stage.cast.replicas):
                pid = stage.roles[name].pid
                if pid is not None:
                    self._look(name, pid, clock=time.monotonic)
            await asyncio.sleep(_EVERY_SECONDS)

    def _look(self, name: str, pid: int, *, clock: Callable[[], float]) -> None:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            sample = Sample(clock(), process.memory_info().rss, process.num_fds())
            self.samples.setdefault((name, pid), []).append(sample)
