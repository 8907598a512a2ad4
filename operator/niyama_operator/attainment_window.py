"""How classes have fared lately, from counters that routers keep since they started.

A counter that fell is that of a router that started anew, so all it counts is new. Routers come and go; what they
counted within the window stays counted after they are gone.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from niyama_operator.observation import ClassFigures

__all__ = ["AttainmentWindow", "Counts"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests of one class that have ended, as far as their promise counts, and those that kept it."""

    num_requests: int
    num_on_time: int

    def since(self, before: "Counts") -> "Counts":
        """Return what came on top of `before`, or everything when the counter began anew."""
        if self.num_requests < before.num_requests or self.num_on_time < before.num_on_time:
            return self
        return Counts(self.num_requests - before.num_requests, self.num_on_time - before.num_on_time)


class AttainmentWindow:
    """The figures of one cluster's classes over the last `seconds`."""

    def __init__(self, seconds: float = 300.0) -> None:
        """Begin without figures; what a router counted before it is first heard is not counted."""
        self._seconds = seconds
        self._last: dict[tuple[str, str], Counts] = {}
        self._gains: deque[tuple[float, str, Counts]] = deque()

    def see(self, router: str, classes: Mapping[str, Counts], *, now: float) -> None:
        """Take in what a router says; `now` in seconds."""
        for name, counts in classes.items():
            before = self._last.get((router, name))
            self._last[router, name] = counts
            if before is None:
                continue
            gain = counts.since(before)
            if gain.num_requests:
                self._gains.append((now, name, gain))

    def figures(self, names: Sequence[str], *, now: float) -> list[ClassFigures]:
        """Return how the named classes have fared within the window."""
        while self._gains and self._gains[0][0] < now - self._seconds:
            self._gains.popleft()
        return [self._of(name) for name in names]

    def _of(self, name: str) -> ClassFigures:
        gains = [gain for _, gained, gain in self._gains if gained == name]
        return ClassFigures(name, sum(gain.num_requests for gain in gains), sum(gain.num_on_time for gain in gains))
