"""How long to wait before the next attempt: longer after each failure, never beyond a cap, never in step.

Jitter keeps the many clients of a server that comes back from arriving all at once.
"""

import random

__all__ = ["Backoff"]


class Backoff:
    """Delays that double from `first` to `cap` seconds, each drawn between half of it and the whole."""

    def __init__(self, first: float = 0.05, cap: float = 1.0, *, rng: random.Random | None = None) -> None:
        self._first = first
        self._cap = cap
        self._rng = rng or random.Random()
        self._delay = first

    def next_delay(self) -> float:
        """Return the seconds to wait after one more failure."""
        delay = self._delay
        self._delay = min(self._cap, 2 * delay)
        return delay * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin again with `first`: the last attempt went well."""
        self._delay = self._first
