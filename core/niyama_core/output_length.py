"""How long answers of an application tend to be, learned from those that ended.

The planner never sees a request's true length. It plans with the mean plus two standard deviations of the answers
that the same application has had, as QoServe does; an application without a history borrows everyone's.
"""

import math
from dataclasses import dataclass

__all__ = ["OutputLengthHistory"]

_FEW_ANSWERS = 8
_MEMORY = 1024
_MAX_APPS = 1024


@dataclass(slots=True)
class _Moments:
    """Running mean and variance (Welford), forgetting slowly once `_MEMORY` answers have been seen."""

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        share = 1.0 / min(self.count, _MEMORY)
        gap = value - self.mean
        self.mean += share * gap
        self.variance = (1.0 - share) * (self.variance + share * gap * gap)

    def mean_plus_two_sigma(self) -> float:
        return self.mean + 2.0 * math.sqrt(self.variance)


class OutputLengthHistory:
    """Estimates an answer's length from the answers of its application.

    Args:
        prior_tokens: the estimate while nothing has been seen.
    """

    def __init__(self, prior_tokens: int = 128) -> None:
        """Start without a history."""
        self._prior_tokens = prior_tokens
        self._everyone = _Moments()
        self._by_app: dict[str, _Moments] = {}

    def record(self, app: str, num_output_tokens: int) -> None:
        """Remember an answer that ended by itself."""
        self._everyone.add(num_output_tokens)
        # Taken out and put back, so that the one that has been silent for longest comes first and is forgotten first.
        moments = self._by_app.pop(app, None) or _Moments()
        self._by_app[app] = moments
        moments.add(num_output_tokens)
        if len(self._by_app) > _MAX_APPS:
            del self._by_app[next(iter(self._by_app))]

    @property
    def num_apps(self) -> int:
        """Applications whose answers are remembered; bounded, because clients make up the names."""
        return len(self._by_app)

    def expected(self, app: str, cap: int) -> int:
        """Return the expected length in tokens, at least 1 and at most `cap`."""
        moments = self._by_app.get(app)
        if moments is None or moments.count < _FEW_ANSWERS:
            moments = self._everyone
        enough = moments.count >= _FEW_ANSWERS
        estimate = moments.mean_plus_two_sigma() if enough else self._prior_tokens
        return max(1, min(cap, math.ceil(estimate)))
