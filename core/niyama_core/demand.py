"""How much important prefill work waits, and by when it is due.

The curve answers one question in microseconds, however long the queue: how much time could be spent on other work
before an important request would be late? Work is kept in buckets of due time, a thirty-second of the promise wide,
so the answer is exact to about 3 % of the promise. It assumes that the work is served by due time, which is the best
that any order can do.
"""

import math
from collections import defaultdict

from niyama_core.request import LiveRequest

__all__ = ["DemandCurve"]

_BUCKETS_PER_PROMISE = 32


class DemandCurve:
    """Prefill tokens of important requests that wait, by the bucket of their due time."""

    def __init__(self) -> None:
        """Start without demand."""
        self._tokens: defaultdict[tuple[float, int], int] = defaultdict(int)
        self._last_answer: tuple[float, float, float] | None = None

    def add(self, live: LiveRequest, num_tokens: int) -> None:
        """Count tokens of a request that wait; a negative number takes them back."""
        self._last_answer = None
        bucket = _bucket(live)
        self._tokens[bucket] += num_tokens
        if self._tokens[bucket] <= 0:
            del self._tokens[bucket]

    def margin(self, now: float, tokens_per_second: float) -> float:
        """Return the seconds that can be spent on other work before any of this work would be late.

        Work that is late already cannot be saved and does not count. Infinite without work. To be asked again for the
        same instant costs nothing, because a plan may ask for each of thousands that it relegates.
        """
        if self._last_answer is None or self._last_answer[:2] != (now, tokens_per_second):
            self._last_answer = now, tokens_per_second, self._walk(now, tokens_per_second)
        return self._last_answer[2]

    def _walk(self, now: float, tokens_per_second: float) -> float:
        margin, waiting = math.inf, 0
        for start, tokens in sorted((width * index, tokens) for (width, index), tokens in self._tokens.items()):
            if start < now:
                continue
            waiting += tokens
            margin = min(margin, start - now - waiting / tokens_per_second)
        return margin


def _bucket(live: LiveRequest) -> tuple[float, int]:
    """Return the bucket of a request: its width in seconds, a power of two, and its index."""
    promised = max(1e-3, live.due - live.request.arrival)
    width = 2.0 ** math.floor(math.log2(promised / _BUCKETS_PER_PROMISE))
    return width, math.floor(live.prefill_due / width)
