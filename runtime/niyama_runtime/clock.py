"""Time as something that is handed in: a real clock, and a virtual one that never waits.

Whoever sleeps through a `Clock` runs in real time in production and in no time under test, and does the same both
times. The virtual clock advances only when every task waits, so a run under it is deterministic: sleepers wake in
the order of their instants, those of one instant in the order in which they lay down, and each runs until it waits
again before the next one wakes.
"""

import asyncio
import heapq
import math
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

__all__ = ["Clock", "MonotonicClock", "VirtualClock", "VirtualDeadlockError", "unix_seconds"]

T = TypeVar("T")


def unix_seconds() -> float:
    """Return the seconds since the epoch: for what must mean something on another machine, never to wait by."""
    return time.time()


class Clock(Protocol):
    """Reads time and waits for it. Instants are seconds from an arbitrary origin and never go back."""

    def now(self) -> float:
        """Return the instant, in seconds."""
        ...

    async def sleep_until(self, instant: float) -> None:
        """Return at `instant` or after it, never before; let other tasks run once even when it has passed."""
        ...


class MonotonicClock:
    """The machine's monotonic clock. asyncio wakes a sleeper up to a millisecond late."""

    def now(self) -> float:
        """Return the instant, in seconds since the machine's own origin."""
        return time.monotonic()

    async def sleep_until(self, instant: float) -> None:
        """Return at `instant` or after it."""
        await asyncio.sleep(max(0.0, instant - time.monotonic()))
        # A loop's timer may be early by its own resolution.
        while (left := instant - time.monotonic()) > 0:  # noqa: ASYNC110, there is nobody to set an event
            await asyncio.sleep(left)


class VirtualDeadlockError(RuntimeError):
    """All tasks wait, none of them for the clock: time would never move again."""


class VirtualClock:
    """A clock that jumps to the next sleeper's instant as soon as every task waits.

    It needs a driver: `run` or `drive`. A task that waits for anything but this clock (a socket, a thread,
    `asyncio.sleep`) counts as waiting, so time passes it by: keep real I/O out of what runs under it. Works on
    asyncio's own event loops.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._num_slept = 0
        self._driven = False

    def now(self) -> float:
        """Return the virtual instant, in seconds."""
        return self._now

    async def sleep_until(self, instant: float) -> None:
        """Wait until a driver has brought the clock to `instant`; only step aside when it has passed."""
        if instant <= self._now:
            await asyncio.sleep(0)
            return
        alarm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._num_slept += 1
        heapq.heappush(self._sleepers, (instant, self._num_slept, alarm))
        await alarm

    async def run(self, until: float | None = None) -> None:
        """Advance to the instant `until`, waking whoever sleeps up to it; without one, until nobody sleeps.

        Returns with every task waiting. Raises RuntimeError when another driver is at work.
        """
        end = math.inf if until is None else until
        with _OneDriver(self):
            await self._settle()
            while (alarm := self._next_alarm(end)) is not None:
                alarm.set_result(None)
                await self._settle()
            if end < math.inf:
                self._now = max(self._now, end)

    async def drive(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` to its end, advancing whenever every task waits, and return its result.

        Raises:
            VirtualDeadlockError: `main` waits for something that the clock will never bring.
            RuntimeError: another driver is at work.
        """
        task = asyncio.ensure_future(main)
        try:
            with _OneDriver(self):
                await self._drive(task)
            return task.result()
        finally:
            task.cancel()

    async def _drive(self, task: asyncio.Task[T]) -> None:
        await self._settle()
        while not task.done():
            alarm = self._next_alarm(math.inf)
            if alarm is None:
                raise VirtualDeadlockError(f"at {self._now} s every task waits, and none for the clock")
            alarm.set_result(None)
            await self._settle()

    def _next_alarm(self, end: float) -> "asyncio.Future[None] | None":
        """Advance to the next sleeper up to the instant `end` and take it out; those who gave up are dropped."""
        while self._sleepers and self._sleepers[0][0] <= end:
            instant, _, alarm = heapq.heappop(self._sleepers)
            if not alarm.done():
                self._now = max(self._now, instant)
                return alarm
        return None

    async def _settle(self) -> None:
        """Return when every other task waits."""
        ready = _ready_queue(asyncio.get_running_loop())
        await asyncio.sleep(0)
        while ready:  # noqa: ASYNC110, the last of them to wait cannot know that it is the last
            await asyncio.sleep(0)


class _OneDriver:
    """Keeps two drivers from pulling the same clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def __enter__(self) -> None:
        if self._clock._driven:
            raise RuntimeError("this virtual clock is being driven already")
        self._clock._driven = True

    def __exit__(self, *_: object) -> None:
        self._clock._driven = False


def _ready_queue(loop: asyncio.AbstractEventLoop) -> "deque[asyncio.Handle]":
    """Return the callbacks that wait for their turn.

    asyncio has no public way to ask whether anything is left to run, and counting turns would only guess.
    """
    ready = getattr(loop, "_ready", None)
    if not isinstance(ready, deque):
        raise RuntimeError(f"a virtual clock needs one of asyncio's own event loops, not {type(loop).__name__}")
    return ready
