"""When a call is tried again, and how long to wait before.

Only what cannot do harm is tried again: a request of which no token has been delivered. UNAVAILABLE is, a few times,
because another router may answer. RESOURCE_EXHAUSTED is only where one asks for it and the server has said when to
come back: a client that comes back sooner makes an overload worse.
"""

import random
from dataclasses import dataclass

import grpc
from niyama_runtime.backoff import Backoff
from niyama_runtime.status import Failure

__all__ = ["Patience", "Retries"]

# Of the time that a server asked for: those who were refused together shall not come back together.
_JITTER = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a call is tried again.

    Attributes:
        unavailable: after UNAVAILABLE, with back-off and jitter.
        overloaded: after RESOURCE_EXHAUSTED, and only when the server says when to come back.
        first_delay: seconds before the first of them; each further one waits twice as long, up to `longest_delay`.
        longest_delay: seconds; a server that asks for more than this is not waited for.
    """

    unavailable: int = 3
    overloaded: int = 0
    first_delay: float = 0.1
    longest_delay: float = 30.0


class Patience:
    """What is left of one call's retries."""

    def __init__(self, retries: Retries, *, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()
        self._backoff = Backoff(retries.first_delay, retries.longest_delay, rng=self._rng)
        self._longest_delay = retries.longest_delay
        self._left = {
            grpc.StatusCode.UNAVAILABLE: retries.unavailable,
            grpc.StatusCode.RESOURCE_EXHAUSTED: retries.overloaded,
        }

    def delay_after(self, failure: Failure) -> float | None:
        """Return the seconds to wait before the next attempt; None when there shall be none."""
        if self._left.get(failure.code, 0) <= 0:
            return None
        self._left[failure.code] -= 1
        if failure.retry_after is not None:
            within = failure.retry_after <= self._longest_delay
            return failure.retry_after * (1 + _JITTER * self._rng.random()) if within else None
        return self._backoff.next_delay() if failure.code is grpc.StatusCode.UNAVAILABLE else None
