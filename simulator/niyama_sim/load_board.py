"""What replicas have said of their load, and when routers come to see it.

Every half of the load's age all replicas report, and half an age later every router sees it: as in production, where
agents write on their own beat and routers read on theirs. So what a router knows is between half an age and a whole
age old, and all routers see the same, which is when they would all run to the same replica.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from niyama_core.load import ReplicaLoad

from niyama_sim.replica import SimulatedReplica

__all__ = ["LoadBoard", "Report"]


@dataclass(frozen=True, slots=True)
class Report:
    """The loads of all replicas at one beat.

    Attributes:
        beat: which; beats are counted from the start of the run.
        at: its instant.
        loads: of each replica.
    """

    beat: int
    at: float
    loads: Sequence[ReplicaLoad]


class LoadBoard:
    """Keeps the reports that routers see or will see.

    Args:
        replicas: who report.
        load_age: seconds; 0 lets routers see everything as it is.
    """

    def __init__(self, replicas: Sequence[SimulatedReplica], load_age: float) -> None:
        """Start without a report."""
        self._replicas = replicas
        self._interval = load_age / 2
        self._reports: dict[int, Report] = {}

    def beat_of(self, now: float) -> int:
        """Return the latest beat that has been, at `now`."""
        return math.floor(now / self._interval) if self._interval else 0

    def due_before(self, instant: float) -> Iterator[float]:
        """Yield the instants at which replicas must report for what is decided at `instant`, as far as they have not.

        Reports that nobody would look at are not made: it costs time, and changes nothing.
        """
        if not self._interval:
            return
        latest = self.beat_of(instant)
        for beat in (latest - 1, latest):
            if beat >= 0 and beat not in self._reports:
                yield beat * self._interval

    def report(self, at: float) -> None:
        """Have every replica report at the instant of a beat."""
        beat = round(at / self._interval)
        self._reports = {kept: report for kept, report in self._reports.items() if kept >= beat - 1}
        self._reports[beat] = Report(beat, at, [replica.load(at) for replica in self._replicas])

    def renew(self, replica: SimulatedReplica, now: float) -> None:
        """Put the load that a replica has just come back with in place of what it said before it left."""
        place = self._replicas.index(replica)
        for beat, report in self._reports.items():
            loads = [*report.loads[:place], replica.load(now), *report.loads[place + 1 :]]
            self._reports[beat] = Report(beat, report.at, loads)

    def visible(self, now: float) -> Report | None:
        """Return the report that routers see; None when it was not made, because nobody asked at its time."""
        return self._reports.get(self.beat_of(now) - 1)
