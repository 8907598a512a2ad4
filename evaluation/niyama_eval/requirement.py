"""How many replicas some traffic requires: the search for the fewest, and what several seeds say of it together.

A number of replicas passes when the mean over the seeds passes the rule. More replicas are taken to be no worse, and
the neighbours of what is found are tried to see whether they are.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from niyama_eval.goodput import RULES, Point
from niyama_eval.goodput_search import SearchError

__all__ = ["FewestSearch", "Measure", "Requirement", "Split", "best_splits", "fewest"]

FewestSearch = Generator[int, bool, int]
"""Yields numbers of replicas, is sent whether each passed, and returns the fewest that did."""


def fewest(start: int, *, most: int) -> FewestSearch:
    """Search for the fewest replicas that pass, from a guess; then try the neighbours of what was found.

    It goes up from a number that fails, or down from one that passes, by strides that double, until it has one of
    each; then it halves what lies between. None pass without a replica.

    Raises:
        SearchError: not even `most` replicas pass.
    """
    first = min(max(start, 1), most)
    if (yield first):
        low, high = yield from _down(first)
    else:
        low, high = yield from _up(first, most=most)
    while high - low > 1:
        at = (low + high) // 2
        if (yield at):
            high = at
        else:
            low = at
    for neighbour in (high - 2, high + 1):
        if 1 <= neighbour <= most:
            yield neighbour
    return high


_Bracket = Generator[int, bool, tuple[int, int]]
"""Yields as a search does; returns a number that fails and a larger one that passes."""


def _down(high: int) -> _Bracket:
    """Go down from a number that passes; 0 fails without being tried."""
    stride = 1
    while high - stride > 0:
        if not (yield high - stride):
            return high - stride, high
        high, stride = high - stride, stride * 2
    return 0, high


def _up(low: int, *, most: int) -> _Bracket:
    """Go up from a number that fails."""
    stride = 1
    while low < most:
        at = min(low + stride, most)
        if (yield at):
            return low, at
        low, stride = at, stride * 2
    raise SearchError(f"not even {most} replicas keep every promise")


@dataclass(frozen=True, slots=True)
class Measure:
    """What passes: a rule by name, and the share of each class that may miss its promise."""

    rule: str = "published"
    max_violations: float = 0.01

    def failures(self, point: Point) -> tuple[str, ...]:
        """Return why a point fails; nothing when it passes."""
        return RULES[self.rule](point, max_violations=self.max_violations)

    def is_hopeless(self, point: Point, *, num_seeds: int) -> bool:
        """Return whether the mean over the seeds fails even if all other seeds had no violation at all."""
        return point.worst_violations > num_seeds * self.max_violations


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a search for the fewest replicas found.

    Attributes:
        num_replicas: the fewest that keep every promise; None when no number does.
        points: by number of replicas, the point of each seed that was simulated.
        measure: by which they were judged.
    """

    num_replicas: int | None
    points: Mapping[int, Mapping[int, Point]]
    measure: Measure

    def mean(self, num_replicas: int) -> Point:
        """Return the mean over the seeds with so many replicas."""
        return Point.mean(list(self.points[num_replicas].values()))

    def passes(self, num_replicas: int) -> bool:
        """Return whether so many replicas were tried and keep every promise."""
        return num_replicas in self.points and not self.measure.failures(self.mean(num_replicas))

    def num_passing_seeds(self, num_replicas: int) -> int:
        """Return how many seeds pass by themselves with so many replicas."""
        points = self.points.get(num_replicas, {}).values()
        return sum(not self.measure.failures(point) for point in points)

    @property
    def curve(self) -> Sequence[tuple[int, Mapping[str, float]]]:
        """The mean violations of each class by number of replicas, which rises."""
        return [(num, self.mean(num).violations) for num in sorted(self.points)]

    def confidence(self) -> str:
        """Return in words how firm the number is."""
        num = self.num_replicas
        if num is None:
            return "no number of replicas that was tried keeps every promise"
        num_seeds = len(self.points[num])
        odd = [n for n in self.points if self.passes(n) != (n >= num)]
        if odd:
            return f"not firm: {min(odd)} {'pass' if self.passes(min(odd)) else 'do not pass'}, by chance of the seeds"
        if num_seeds == 1:
            return "one seed: how far another would be off is not known"
        passing, before = self.num_passing_seeds(num), self.num_passing_seeds(num - 1)
        if passing < num_seeds:
            return f"on the edge: {passing} of {num_seeds} seeds pass by themselves; {num + 1} are on the safe side"
        if before:
            return f"every seed passes; {before} of {len(self.points[num - 1])} would with {num - 1}, too"
        return f"firm: every one of {num_seeds} seeds passes" + (f", none does with {num - 1}" if num > 1 else "")


@dataclass(frozen=True, slots=True)
class Split:
    """How some replicas are split among pools, and the mean violations of each class then."""

    replicas: Mapping[str, int]
    violations: Mapping[str, float]

    @property
    def worst(self) -> float:
        """The violations of the class that has most."""
        return max(self.violations.values(), default=0.0)


def best_splits(pools: Mapping[str, Requirement]) -> Mapping[int, Split]:
    """Return the best split by total number of replicas: that whose worst class has fewest violations.

    A pool serves one class, and what happens in one pool touches no other. So the pools are simulated apart, and put
    together here, in whatever numbers they were simulated.
    """
    best: dict[int, Split] = {0: Split({}, {})}
    for name, pool in pools.items():
        joined: dict[int, Split] = {}
        for total, split in best.items():
            for num, violations in pool.curve:
                wider = Split({**split.replicas, name: num}, {**split.violations, **violations})
                if total + num not in joined or wider.worst < joined[total + num].worst:
                    joined[total + num] = wider
        best = joined
    return dict(sorted(best.items()))
