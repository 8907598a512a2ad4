"""When the iterations of an engine without hardware end.

An iteration starts where the last one ended by the law, not when the event loop got round to it, so a late wake-up
and the time of planning do not make the engine slower than its profile. How far it may catch up is bounded: after
a long stall it does not rush through all it has missed.
"""

import math
import random

from niyama_core.latency import IterationShape, LatencyModel

__all__ = ["Pace"]

_MAX_LAG_SECONDS = 0.25


class Pace:
    """The clockwork of one engine.

    Args:
        law: seconds of an iteration.
        noise: standard deviation of the logarithm of a factor with median 1 on each iteration's time.
        seed: of the noise.
    """

    def __init__(self, law: LatencyModel, *, noise: float = 0.0, seed: int = 0) -> None:
        """Start at rest."""
        self._law = law
        self._noise = noise
        self._rng = random.Random(seed)
        self._free_at: float | None = None

    def rest(self) -> None:
        """Note that the engine had nothing to run: the next iteration starts when it is planned."""
        self._free_at = None

    def lag(self, now: float) -> float:
        """Return the seconds that the engine is behind its law."""
        return 0.0 if self._free_at is None else max(0.0, now - self._free_at)

    def run(self, shape: IterationShape, now: float) -> tuple[float, float]:
        """Start an iteration that was planned at `now`; return the seconds it takes and the instant it ends."""
        begins = now - min(self.lag(now), _MAX_LAG_SECONDS)
        seconds = self._law.iteration_time(shape) * self._factor()
        self._free_at = begins + seconds
        return seconds, self._free_at

    def _factor(self) -> float:
        return math.exp(self._rng.gauss(0.0, self._noise)) if self._noise else 1.0
