"""The baselines of placement: by turns, and by the least work. Neither looks at what was promised."""

from collections.abc import Sequence

from niyama_core.placement_estimate import Candidate, Placed, PlacementRequest, estimate, work
from niyama_core.slo import QosClasses

__all__ = ["LeastLoaded", "RoundRobin"]


class RoundRobin:
    """One replica after the other, in each pool. Blind to load: a long prompt makes those that follow it wait.

    Args:
        classes: by whose times it is told whether the promise would hold.
        num_routers: does not matter.
    """

    def __init__(self, classes: QosClasses, num_routers: int = 1) -> None:
        """Start with the first replica."""
        self._classes = classes
        self._turns: dict[frozenset[str] | None, int] = {}

    def choose(self, request: PlacementRequest, candidates: Sequence[Candidate]) -> Placed:
        """Return the candidate whose turn it is, in the order of names."""
        ordered = sorted(candidates, key=lambda candidate: candidate.load.replica)
        pool = ordered[0].serves
        turn = self._turns.get(pool, 0)
        self._turns[pool] = turn + 1
        return estimate(request, ordered[turn % len(ordered)], classes=self._classes)


class LeastLoaded:
    """The replica with the fewest prompt tokens that wait, then the fewest requests.

    Args:
        classes: by whose times it is told whether the promise would hold.
        num_routers: does not matter.
    """

    def __init__(self, classes: QosClasses, num_routers: int = 1) -> None:
        """Keep the classes for the estimate."""
        self._classes = classes

    def choose(self, request: PlacementRequest, candidates: Sequence[Candidate]) -> Placed:
        """Return the candidate with the least work."""
        return estimate(request, min(candidates, key=work), classes=self._classes)
