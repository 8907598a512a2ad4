"""One simulated router: it places by what it sees of the replicas, which is old, and by what it has placed itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from niyama_core.door import Door
from niyama_core.output_length import OutputLengthHistory
from niyama_core.placement import Candidate, build_placement

from niyama_sim.load_board import LoadBoard
from niyama_sim.replica import SimulatedReplica
from niyama_sim.settings import SimulationSettings

__all__ = ["SimulatedRouter"]


@dataclass(slots=True)
class _Placed:
    """What a router has placed on a replica within a beat."""

    num_requests: int = 0
    prompt_tokens: int = 0


class SimulatedRouter:
    """A router with a view of its own; it knows nothing of what other routers place before replicas report it.

    Args:
        settings: of the cluster.
        replicas: of the cluster.
        board: where they report.
    """

    def __init__(self, settings: SimulationSettings, replicas: Sequence[SimulatedReplica], *, board: LoadBoard) -> None:
        """Start without anything placed."""
        self.placement = build_placement(settings.placement, settings.classes, num_routers=settings.num_routers)
        self.door = Door(settings.num_routers)
        self.lengths = OutputLengthHistory()
        """Of the answers that have gone through this router."""
        self._num_routers = settings.num_routers
        self._replicas = replicas
        self._board = board
        self._beat = 0
        self._before: dict[str, _Placed] = {}
        self._within: dict[str, _Placed] = {}

    def candidates(self, now: float) -> list[Candidate]:
        """Return the replicas that take requests, as this router sees them.

        Loads that nobody had reported in time, because no request came meanwhile, are seen as they are.
        """
        report = self._board.visible(now)
        if report is None:
            return [Candidate(one.load(now), serves=one.serves) for one in self._replicas if one.takes_requests]
        self._turn_to(self._board.beat_of(now))
        age = now - report.at
        if not self._before and not self._within:
            pairs = zip(self._replicas, report.loads, strict=True)
            return [Candidate(load, age, serves=one.serves) for one, load in pairs if one.takes_requests]
        return [
            Candidate(load, age, *self._pending(one.name), one.serves)
            for one, load in zip(self._replicas, report.loads, strict=True)
            if one.takes_requests
        ]

    def expect(self, replica: str, num_prompt_tokens: int, *, now: float) -> None:
        """Count a request that this router has placed."""
        self._turn_to(self._board.beat_of(now))
        placed = self._within.setdefault(replica, _Placed())
        placed.num_requests += 1
        placed.prompt_tokens += num_prompt_tokens

    def forget(self, replica: str) -> None:
        """Forget what was placed on a replica, which has it no more."""
        self._before.pop(replica, None)
        self._within.pop(replica, None)

    def _pending(self, replica: str) -> tuple[int, int]:
        """Return about how many prompt tokens and requests were placed on a replica since the visible report.

        The other routers are taken to have placed as much there as this one.
        """
        tokens = num = 0
        for placed in (self._before.get(replica), self._within.get(replica)):
            if placed is not None:
                tokens += placed.prompt_tokens
                num += placed.num_requests
        return tokens * self._num_routers, num * self._num_routers

    def _turn_to(self, beat: int) -> None:
        """Forget what was placed before the report that is visible at this beat."""
        if beat == self._beat:
            return
        self._before = self._within if beat == self._beat + 1 else {}
        self._within = {}
        self._beat = beat
