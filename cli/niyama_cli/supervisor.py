"""Keeps child processes running, and ends them in an order that loses nothing.

A `Keeper` watches one child: it starts a child that died again, after a back-off that grows with each death in a row
and is forgotten once the child ran well, and says so. The `Supervisor` holds keepers in tiers: started together,
ended tier by tier, so that routers stop taking requests before the replicas go that serve them.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

from niyama_runtime.addresses import BindError
from niyama_runtime.backoff import Backoff
from niyama_runtime.embedded_redis import EmbeddedRedisError

__all__ = ["Keeper", "KeeperState", "Supervised", "Supervisor", "describe_exit"]

_FIRST_DELAY_SECONDS = 0.4
_LONGEST_DELAY_SECONDS = 15.0
_RAN_WELL_SECONDS = 30.0

_START_FAULTS = (OSError, BindError, EmbeddedRedisError)


class Supervised(Protocol):
    """A process that can be started again: `RoleProcess`, or a Redis server."""

    @property
    def pid(self) -> int | None:
        """The process's id, when there is one."""
        ...

    async def start(self) -> None:
        """Start it."""
        ...

    async def wait(self) -> int:
        """Wait for its end and return its exit status."""
        ...

    async def stop(self) -> None:
        """End it, at once when cancelled; of one that has ended, tidy up what is left."""
        ...


class KeeperState(Enum):
    """Where a child stands."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting to restart"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Keeper:
    """Keeps one process running.

    Attributes:
        name: what messages call it.
        state: where it stands.
        num_restarts: how often it was started again.
        last_words: gives the last lines that it wrote.
    """

    def __init__(
        self,
        name: str,
        process: Supervised,
        *,
        tell: Callable[[str], None],
        last_words: Callable[[], Sequence[str]] = tuple,
        backoff: Backoff | None = None,
    ) -> None:
        """Prepare to keep `process`; `tell` takes sentences for a person, `last_words` gives its last lines."""
        self.name = name
        self.last_words = last_words
        self.state = KeeperState.STOPPED
        self.num_restarts = 0
        self._process = process
        self._tell = tell
        self._backoff = backoff or Backoff(_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS)
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        alive = self.state in (KeeperState.STARTING, KeeperState.RUNNING, KeeperState.STOPPING)
        return self._process.pid if alive else None

    async def start(self) -> None:
        """Start the process for the first time; nobody starts it again before `keep`.

        Raises:
            OSError, BindError, EmbeddedRedisError: it cannot be started; the message is one line that says why.
        """
        self.state = KeeperState.STARTING
        await self._process.start()

    async def ended(self) -> str:
        """Wait for the process's end and return in words how it ended."""
        status = await self._process.wait()
        words = self.last_words()
        return describe_exit(status) + (f": {words[-1]}" if words and status > 0 else "")

    def keep(self) -> None:
        """From here on start the process again whenever it ends."""
        self.state = KeeperState.RUNNING
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def stop(self) -> None:
        """End the process, and do not start it again."""
        await self._let_go()
        self.state = KeeperState.STOPPING
        try:
            await self._process.stop()
        finally:
            self.state = KeeperState.STOPPED

    def kill(self) -> None:
        """End the process at once and for good; `stop` tidies up after it."""
        if self._task is not None:
            self._task.cancel()
        if pid := self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def _let_go(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            reason = await self.ended()
            if loop.time() - began >= _RAN_WELL_SECONDS:
                self._backoff.reset()
            await self._restart(reason)

    async def _restart(self, reason: str) -> None:
        """Start the process again, however often that takes."""
        while True:
            self.state = KeeperState.WAITING
            await self._process.stop()
            delay = self._backoff.next_delay()
            self._tell(f"{self.name} {reason}; it is started again in {delay:.1f} s")
            await asyncio.sleep(delay)
            self.state = KeeperState.STARTING
            try:
                await self._process.start()
            except _START_FAULTS as error:
                reason = f"could not be started: {error}"
                continue
            self.num_restarts += 1
            self.state = KeeperState.RUNNING
            self._tell(f"{self.name} was started again as process {self.pid} (restart {self.num_restarts})")
            return


class Supervisor:
    """Keepers in tiers: the first tier ends first.

    Attributes:
        tiers: the keepers of each tier.
    """

    def __init__(self, tiers: Sequence[Sequence[Keeper]]) -> None:
        self.tiers = tuple(map(tuple, tiers))

    @property
    def keepers(self) -> tuple[Keeper, ...]:
        """All keepers, in the order in which they end."""
        return tuple(keeper for tier in self.tiers for keeper in tier)

    def keep(self) -> None:
        """From here on start whatever ends again."""
        for keeper in self.keepers:
            keeper.keep()

    async def stop(self) -> None:
        """End all, tier by tier; when cancelled, all at once. Nothing runs when this returns or raises."""
        try:
            for tier in self.tiers:
                await _stop(tier)
        except BaseException:
            self.kill()
            await _stop(self.keepers)
            raise

    def kill(self) -> None:
        """End every process at once; `stop` tidies up."""
        for keeper in self.keepers:
            keeper.kill()


async def _stop(keepers: Sequence[Keeper]) -> None:
    await asyncio.gather(*(keeper.stop() for keeper in keepers))


def describe_exit(status: int) -> str:
    """Return in words how a process ended, by the exit status that Python gives."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
