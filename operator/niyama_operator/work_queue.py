"""Which clusters are to be reconciled: each at most once at a time, soon after it changed, and again after a failure.

Whatever happened to a cluster, the work is the same, so many changes make one entry. A cluster that fails is tried
again later and later, and never holds up the others.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from niyama_runtime.backoff import Backoff
from niyama_runtime.clock import Clock

__all__ = ["Key", "WorkQueue"]

_SETTLE_SECONDS = 0.2
_PAUSE_SECONDS = 1.0
_MOST_AT_ONCE = 8

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A NiyamaCluster: namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class WorkQueue:
    """Keys with the instant at which each is due.

    Args:
        clock: by which it waits.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin empty."""
        self._clock = clock
        self._due: dict[Key, float] = {}
        self._busy: set[Key] = set()
        self._last: dict[Key, float] = {}
        self._backoffs: dict[Key, Backoff] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: Key, *, after: float = _SETTLE_SECONDS) -> None:
        """Have a key worked on in `after` seconds, or sooner if it is due sooner."""
        now = self._clock.now()
        due = max(now + after, self._last.get(key, -_PAUSE_SECONDS) + _PAUSE_SECONDS)
        self._due[key] = min(due, self._due.get(key, due))
        self._changed.set()

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a key that is gone."""
        self._due.pop(key, None)
        self._last.pop(key, None)
        self._backoffs.pop(key, None)

    async def run(self, work: Callable[[Key], Awaitable[None]]) -> None:
        """Work on keys as they fall due, for ever."""
        async with asyncio.TaskGroup() as tasks:
            try:
                while True:
                    key = await self._next()
                    self._busy.add(key)
                    tasks.create_task(self._work_on(key, work))
            finally:
                self._busy.clear()

    async def _next(self) -> Key:
        """Wait for a key that is due and not being worked on, and take it."""
        while True:
            self._changed.clear()
            now = self._clock.now()
            waiting = {key: due for key, due in self._due.items() if key not in self._busy}
            if waiting and len(self._busy) < _MOST_AT_ONCE:
                key = min(waiting, key=lambda key: waiting[key])
                if waiting[key] <= now:
                    del self._due[key]
                    return key
                await self._wait(waiting[key] - now)
            else:
                await self._changed.wait()

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _work_on(self, key: Key, work: Callable[[Key], Awaitable[None]]) -> None:
        self._last[key] = self._clock.now()
        try:
            await work(key)
        except Exception as error:  # noqa: BLE001, one cluster's failure is not the others'
            delay = self._backoffs.setdefault(key, Backoff(1.0, 60.0)).next_delay()
            _log.warning(
                "reconcile_failed", cluster=str(key), error=str(error) or repr(error), again_in=round(delay, 1)
            )
            self.add(key, after=delay)
        else:
            self._backoffs.pop(key, None)
        finally:
            self._busy.discard(key)
            self._changed.set()
