"""Makes faults happen in a simulated cluster, at their instants, as production would live through them.

- **Lost**: its iteration comes to nothing. Requests without tokens are placed elsewhere; those with tokens are resumed
  elsewhere from prompt and tokens so far, and the token clock of an interactive answer runs on.
- **Slow**: iterations take longer; nobody is told, but rates are measured and reported as ever.
- **Restarted**: it takes nothing new, hands back what has not begun, finishes what runs, and comes back empty; then the
  next one is drained.

Routers hear of a replica that has left or come back at once: in production a broken stream, or the directory, tells
them. What finds no replica waits for one to come back.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from niyama_sim.faults import Fault, Lose, Restart, Slow
from niyama_sim.replica import SimulatedReplica

__all__ = ["Disturbed", "FaultInjection"]


class Disturbed(Protocol):
    """What faults need of a cluster."""

    @property
    def now(self) -> float:
        """The instant that it is."""
        ...

    def call_at(self, instant: float, action: Callable[[], None]) -> None:
        """Do something at an instant, unless all requests have ended before."""
        ...

    def give_up(self, replica: SimulatedReplica, request_ids: Iterable[str] | None = None) -> None:
        """Take requests off a replica, or all of them and the iteration that runs, and place them anew."""
        ...

    def welcome(self, replica: SimulatedReplica) -> None:
        """Let routers see a replica as it is, and place whoever waits for one."""
        ...


class FaultInjection:
    """The faults of one run.

    Args:
        cluster: that they befall.
        replicas: of the cluster, in order.
        faults: what happens.
    """

    def __init__(self, cluster: Disturbed, replicas: Sequence[SimulatedReplica], *, faults: Iterable[Fault]) -> None:
        """Have every fault happen at its instant."""
        self._cluster = cluster
        self._drained: dict[str, Callable[[], None]] = {}
        for fault in faults:
            match fault:
                case Lose(replica=index, at=at, away=away):
                    cluster.call_at(at, partial(self._lose, replicas[index], away))
                case Slow(replica=index, at=at, lasts=lasts, factor=factor):
                    cluster.call_at(at, partial(replicas[index].slow_down, factor))
                    cluster.call_at(at + lasts, partial(replicas[index].slow_down, 1.0 / factor))
                case Restart(replica=index, at=at, away=away):
                    roll = list(replicas) if index is None else [replicas[index]]
                    cluster.call_at(at, partial(self._restart, roll, away))

    def idle(self, replica: SimulatedReplica) -> None:
        """Hear that a replica which takes nothing new has nothing left to do."""
        go_on = self._drained.pop(replica.name, None)
        if go_on is not None:
            go_on()

    def _lose(self, replica: SimulatedReplica, away: float | None) -> None:
        """Lose a replica and all that it holds; one that is away already has nothing to lose."""
        if not replica.is_up:
            return
        go_on = self._drained.pop(replica.name, None)
        replica.leave()
        self._cluster.give_up(replica)
        if go_on is not None:
            # It was about to be restarted, and so it is.
            go_on()
        elif away is not None:
            self._cluster.call_at(self._cluster.now + away, partial(self._come_back, replica))

    def _restart(self, roll: Sequence[SimulatedReplica], away: float) -> None:
        """Drain the first of those to be restarted; one that is away is passed over."""
        waiting = [replica for replica in roll if replica.is_up]
        if not waiting:
            return
        replica, rest = waiting[0], waiting[1:]
        replica.drain()
        self._drained[replica.name] = partial(self._turn_off, replica, rest, away=away)
        self._cluster.give_up(replica, replica.engine.planner.unstarted())
        if len(replica.engine.planner) == 0 and replica.engine.running is None:
            self.idle(replica)

    def _turn_off(self, replica: SimulatedReplica, rest: Sequence[SimulatedReplica], *, away: float) -> None:
        """Have a drained replica start again, and the next one drained when it is back."""
        replica.leave()

        def back() -> None:
            self._come_back(replica)
            self._restart(rest, away)

        self._cluster.call_at(self._cluster.now + away, back)

    def _come_back(self, replica: SimulatedReplica) -> None:
        replica.come_back()
        self._cluster.welcome(replica)
