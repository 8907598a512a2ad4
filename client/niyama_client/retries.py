"""When a call is tried again, and how long to wait before.

Only what cannot do harm is tried again: a request of which no token has been delivered, or that goes on behind those
that have. UNAVAILABLE is, a few times, because another router may answer; so is CANCELLED, which a server that stops
says to calls that reach it in its last moment. RESOURCE_EXHAUSTED is only where one asks for it and the server has said
when to come back: a client that comes back sooner makes an overload worse.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from niyama_runtime.backoff import Backoff
from niyama_runtime.status import Failure

from niyama_client.answers import Token
from niyama_client.errors import error_of

__all__ = ["Patience", "Retries"]

# Of the time that a server asked for: those who were refused together shall not come back together.
_JITTER = 0.1
_POISONOUS = "REPLICAS_FAILED"
_AWAY = grpc.StatusCode.UNAVAILABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a call is tried again.

    Attributes:
        unavailable: after UNAVAILABLE and CANCELLED, with back-off and jitter; six take about
            five seconds, in which a router that died is back. With each token that comes they begin anew. Not after
            REPLICAS_FAILED: what replicas failed on, one after the other, may be the request itself.
        overloaded: after RESOURCE_EXHAUSTED, and only when the server says when to come back.
        first_delay: seconds before the first of them; each further one waits twice as long, up to `longest_delay`.
        longest_delay: seconds; a server that asks for more than this is not waited for.
    """

    unavailable: int = 6
    overloaded: int = 0
    first_delay: float = 0.1
    longest_delay: float = 30.0


class Patience:
    """What is left of one call's time and retries; the time runs from the first attempt.

    Args:
        retries: how often.
        appointment: what a router said when it refused the request before.
        timeout: seconds for all attempts together; None for ever.
    """

    def __init__(
        self,
        retries: Retries,
        timeout: float | None = None,
        *,
        appointment: str = "",
        rng: random.Random | None = None,
    ) -> None:
        self._appointment = appointment
        self._rng = rng or random.Random()
        self._backoff = Backoff(retries.first_delay, retries.longest_delay, rng=self._rng)
        self._longest_delay = retries.longest_delay
        self._retries = retries
        self._timeout = timeout
        self._end: float | None = None
        self.renew()

    def renew(self) -> None:
        """Begin to count anew, for an answer that got on; the time goes on running."""
        self._left = {
            _AWAY: self._retries.unavailable,
            grpc.StatusCode.RESOURCE_EXHAUSTED: self._retries.overloaded,
        }
        self._backoff.reset()

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What the next attempt tells of those before: the appointment of one that was refused."""
        return (("niyama-appointment", self._appointment),) if self._appointment else ()

    def seconds_left(self) -> float | None:
        """Return the seconds that the next attempt may take, 0 when there are none; None for ever."""
        if self._timeout is None:
            return None
        now = asyncio.get_running_loop().time()
        if self._end is None:
            self._end = now + self._timeout
        return max(0.0, self._end - now)

    async def wait_after(self, failure: Failure, tokens: Sequence[Token] = (), *, can_go_on: bool = False) -> None:
        """Wait until it is time for the next attempt; `tokens` had been delivered when this one failed.

        With tokens there is a next attempt only where the answer `can_go_on` behind them.

        Raises:
            NiyamaError: there shall be none, or the time would be over before.
        """
        self._appointment = failure.metadata.get("appointment", "")
        delay = None if tokens and not can_go_on else self.delay_after(failure)
        left = self.seconds_left()
        if delay is None or (left is not None and delay >= left):
            raise error_of(failure, tokens)
        await asyncio.sleep(delay)

    def delay_after(self, failure: Failure) -> float | None:
        """Return the seconds to wait before the next attempt, of which one less is left; None when there is none."""
        # With a reason somebody wanted the request to end.
        is_gone = failure.code is grpc.StatusCode.CANCELLED and not failure.reason
        code = _AWAY if is_gone else failure.code
        if self._left.get(code, 0) <= 0 or failure.reason == _POISONOUS:
            return None
        self._left[code] -= 1
        if failure.retry_after is not None:
            within = failure.retry_after <= self._longest_delay
            return failure.retry_after * (1 + _JITTER * self._rng.random()) if within else None
        return self._backoff.next_delay() if code is _AWAY else None
