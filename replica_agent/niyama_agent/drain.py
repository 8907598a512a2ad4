"""The orderly end of a replica: nothing new, what has not begun goes elsewhere, what runs may finish in time.

A drain begins by a signal or by a call, once or more often; the latest bound holds.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from niyama_agent.engine import AbortReason, DrainCounts, Engine

__all__ = ["Drain"]

_log = structlog.get_logger(__name__)


class Drain:
    """Knows which calls are open, and brings them to an end.

    Args:
        engine: what is drained.
        announce: tells health checks and routers that nothing new is taken.
    """

    def __init__(self, engine: Engine, announce: Callable[[], None]) -> None:
        """Start with nothing open and nobody asking for an end."""
        self._engine = engine
        self._announce = announce
        self._open: dict[object, str] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._bound: asyncio.Task[None] | None = None

    @contextmanager
    def holding(self, request_id: str) -> Iterator[None]:
        """Keep the end waiting for a call."""
        # By call and not by id: a second call with an id that is live is open too, until it is refused.
        call = object()
        self._open[call] = request_id
        self._empty.clear()
        try:
            yield
        finally:
            del self._open[call]
            if not self._open:
                self._empty.set()

    def begin(self, grace: float | None) -> DrainCounts:
        """Take nothing new, hand back what has not begun; end what still runs after `grace` seconds, if given."""
        self._announce()
        counts = self._engine.drain()
        _log.info("draining", handed_back=counts.num_handed_back, running=counts.num_running, grace=grace)
        if self._bound is not None:
            self._bound.cancel()
        self._bound = None if grace is None else asyncio.create_task(self._end_after(grace))
        return counts

    async def finished(self) -> None:
        """Wait until no call is open."""
        await self._empty.wait()

    def close(self) -> None:
        """Forget the bound."""
        if self._bound is not None:
            self._bound.cancel()

    async def _end_after(self, grace: float) -> None:
        await asyncio.sleep(grace)
        cut_off = sorted(set(self._open.values()))
        if cut_off:
            _log.warning("drain_grace_over", cut_off=len(cut_off), grace=grace)
        for request_id in cut_off:
            await self._engine.abort(request_id, AbortReason.DRAIN_GRACE_OVER)
