"""Tells the routers how loaded this replica is: through the load board, and when they ask.

A load is published when it has changed, at most every 100 ms, and again after a second even when it has not: the
repetition is the sign of life, and puts the replica back on a board that was emptied. Redis holds hints, so when it
is away the agent goes on and tries again.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from niyama_core.load import ReplicaLoad
from niyama_runtime.clock import Clock
from niyama_runtime.load_board import LoadReporter as BoardReporter
from niyama_runtime.load_board import RedisUnavailableError

from niyama_agent.engine import Engine
from niyama_agent.identity import Identity
from niyama_agent.intake import Intake

__all__ = ["LoadReporter"]

_PERIOD_SECONDS = 0.1
_HEARTBEAT_SECONDS = 1.0


class LoadReporter:
    """One replica's loads.

    Args:
        identity: whose loads.
        engine: how loaded.
        intake: knows the context.
        clock: by which slack is measured.
        board: where loads are published; None without Redis.
        on_load: takes each load that was looked at, ten a second.
    """

    def __init__(
        self,
        identity: Identity,
        engine: Engine,
        *,
        intake: Intake,
        clock: Clock,
        board: BoardReporter | None,
        on_load: Callable[[ReplicaLoad], None],
    ) -> None:
        """Start without having said anything."""
        self._identity = identity
        self._engine = engine
        self._intake = intake
        self._clock = clock
        self._board = board
        self._on_load = on_load
        self._latest = ReplicaLoad(identity.replica, "", incarnation=identity.incarnation)
        self._published: ReplicaLoad | None = None
        self._published_at = 0.0
        self._wake = asyncio.Event()

    def current(self) -> ReplicaLoad:
        """Return the load of this moment, with a sequence number of its own when it has changed."""
        load = replace(self._observe(), sequence=self._latest.sequence)
        if load != self._latest:
            self._latest = replace(load, sequence=load.sequence + 1)
        return self._latest

    def hurry(self) -> None:
        """Publish at once what routers must not wait for: a drain."""
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled; never fails for Redis' sake."""
        while True:
            load = self.current()
            with contextlib.suppress(RedisUnavailableError):
                await self._publish(load)
            # Behind it, so that whoever is told can say whether Redis answered.
            self._on_load(load)
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`: in Python 3.11 it swallows a cancellation that comes with the wake-up, as in a drain.
                async with asyncio.timeout(_PERIOD_SECONDS):
                    await self._wake.wait()
            self._wake.clear()

    async def leave(self) -> None:
        """Take the replica off the board; when Redis is away, silence will."""
        if self._board is not None:
            with contextlib.suppress(RedisUnavailableError):
                await self._board.leave()

    async def _publish(self, load: ReplicaLoad) -> None:
        """Publish a load that is new, or that was published long ago.

        Raises:
            RedisUnavailableError: it may not have been published; the next time makes up for it.
        """
        now = self._clock.now()
        if self._board is None or (load is self._published and now - self._published_at < _HEARTBEAT_SECONDS):
            return
        self._published = None
        await self._board.publish(load)
        self._published, self._published_at = load, now

    def _observe(self) -> ReplicaLoad:
        load, identity = self._engine.load(self._clock.now()), self._identity
        return ReplicaLoad(
            replica=identity.replica,
            address=identity.locate(),
            incarnation=identity.incarnation,
            classes=load.classes,
            tightest_slack=load.tightest_slack,
            prefill_tokens_per_second=load.prefill_tokens_per_second,
            iteration_seconds=load.iteration_seconds,
            kv_used_tokens=load.kv_used_tokens,
            kv_free_tokens=load.kv_free_tokens,
            draining=load.draining,
            engine=self._engine.facts.name,
            model=identity.model,
            bytes_per_token=self._engine.tokenizer.bytes_per_token,
            context_tokens=self._intake.context_tokens,
        )
