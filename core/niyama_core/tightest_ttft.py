"""The tightest TTFT that was promised of late: how impatient those are who may come while an iteration runs.

Nobody who decodes may need the next token for seconds, and a large chunk is then the cheapest; but whoever arrives
waits until it is over, out of their TTFT. Apart from the slack of decodes because it is for requests that are not here.
"""

import math
from collections import deque

__all__ = ["TightestTtft"]

_MEMORY_SECONDS = 600.0


class TightestTtft:
    """The least TTFT of the last ten minutes: a sliding minimum."""

    def __init__(self) -> None:
        """Start without a promise."""
        # Each is looser than those before it, which will be forgotten first.
        self._rising: deque[tuple[float, float]] = deque()

    def expect(self, ttft: float, arrival: float) -> None:
        """Count on more requests like one that came at `arrival`."""
        rising = self._rising
        while rising and rising[-1][1] >= ttft:
            rising.pop()
        rising.append((arrival, ttft))

    def seconds(self, now: float) -> float:
        """Return the least; infinite where no first token has been promised."""
        rising = self._rising
        while rising and rising[0][0] < now - _MEMORY_SECONDS:
            rising.popleft()
        return rising[0][1] if rising else math.inf
