"""The way between the scheduler in the engine's process and the agent: two ZeroMQ sockets of one machine.

The agent binds both, the scheduler connects; either may come later or come back, ZeroMQ sees to it. Nobody waits: the
scheduler sends while the model computes, and what finds no room is kept up to a bound, then iterations are dropped,
the oldest first, and counted; loads replace one another, and what was relegated is kept.

Messages are pickled, which reads code from whoever may write: the sockets lie in a folder that only its owner can
enter, and both ends are processes of the agent.
"""

import asyncio
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import zmq
import zmq.asyncio
from niyama_core.journal import IterationRecord

from niyama_agent.scheduler_reports import Order, RelegatedName, Report, SchedulerChannel, Unheard
from niyama_agent.scheduler_setup import SchedulerSetup

__all__ = ["AgentChannel", "ZmqChannel", "open_channel"]

_MAX_MESSAGES = 256
_MAX_KEPT = 4096


class ZmqChannel:
    """The scheduler's end.

    Args:
        reports: address that reports go to.
        orders: address that orders come from.
    """

    def __init__(self, reports: str, orders: str) -> None:
        """Connect, whether or not somebody is there."""
        context = zmq.Context.instance()
        self._out = context.socket(zmq.PUSH)
        self._in = context.socket(zmq.PULL)
        self._out.set_hwm(_MAX_MESSAGES)
        # Without it messages to nobody would queue at once, and a dead agent's would keep the engine from ending.
        self._out.setsockopt(zmq.IMMEDIATE, 1)
        self._out.setsockopt(zmq.LINGER, 0)
        self._out.connect(reports)
        self._in.connect(orders)
        self._kept: list[Report] = []
        self.num_dropped = 0
        """Iterations that were not reported."""

    def send(self, reports: Sequence[Report]) -> None:
        """Send reports, or keep the latest of them until there is room again."""
        waiting = [*self._kept, *reports] if self._kept else reports
        # Asked first, for what is kept may be much to pickle in vain.
        if not self._out.poll(0, zmq.POLLOUT):
            self._keep(waiting)
            return
        self._out.send(pickle.dumps(waiting, pickle.HIGHEST_PROTOCOL), zmq.NOBLOCK)
        self._kept = []

    def orders(self) -> Iterator[Order]:
        """Yield the orders that have come since the last time."""
        while self._in.poll(0):
            order: Order = pickle.loads(self._in.recv(zmq.NOBLOCK))
            yield order

    def close(self) -> None:
        """Let go of both sockets."""
        self._out.close()
        self._in.close()

    def _keep(self, waiting: Sequence[Report]) -> None:
        """Keep what must not be lost, and of the iterations the latest."""
        notices = [report for report in waiting if isinstance(report, RelegatedName)]
        iterations = [report for report in waiting if isinstance(report, IterationRecord)]
        self.num_dropped += max(0, len(iterations) - _MAX_KEPT)
        self._kept = [*notices[-_MAX_KEPT:], *iterations[-_MAX_KEPT:]]


class AgentChannel:
    """The agent's end.

    Args:
        folder: where the sockets lie; only its owner may enter it.
    """

    def __init__(self, folder: Path) -> None:
        """Be there for the scheduler. Needs a running event loop.

        Raises:
            zmq.ZMQError: the folder cannot be written, or its path is too long for a socket.
        """
        self.reports = f"ipc://{folder}/reports"
        """Where the scheduler sends reports."""
        self.orders = f"ipc://{folder}/orders"
        """Where the scheduler finds orders."""
        self._context = zmq.asyncio.Context()
        self._in = self._context.socket(zmq.PULL)
        self._out = self._context.socket(zmq.PUSH)
        for socket, address in ((self._in, self.reports), (self._out, self.orders)):
            socket.setsockopt(zmq.LINGER, 0)
            socket.bind(address)

    async def follow(self, take: Callable[[Report], None]) -> None:
        """Give every report to `take` until cancelled."""
        while True:
            for report in pickle.loads(await self._in.recv()):
                take(report)

    def order(self, order: Order) -> None:
        """Give an order; it is obeyed before the next iteration."""
        task = asyncio.ensure_future(self._out.send(pickle.dumps(order)))
        self._sent = task

    def close(self) -> None:
        """Let go of both sockets."""
        self._in.close()
        self._out.close()
        self._context.term()


def open_channel(setup: SchedulerSetup) -> SchedulerChannel:
    """Return the scheduler's end of the channel that a setup names; one to nobody where it names none."""
    if setup.reports is None or setup.orders is None:
        return Unheard()
    return ZmqChannel(setup.reports, setup.orders)
