"""What a client was given, and when: what the closing message says and attainment is judged by.

Everything is measured at emission, from the arrival at the router. An agent sees of an answer that was begun elsewhere
only the part that was emitted there; the router, which puts the parts together, sees the whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from niyama_core.deadlines import TokenClock, answer_deadline, first_token_deadline
from niyama_core.slo import Interactive, Promise

__all__ = ["Delivery", "Relegation"]


class Relegation(Enum):
    """When, if ever, a request was relegated."""

    NONE = "none"
    BEFORE_FIRST_TOKEN = "before_first_token"
    AFTER_FIRST_TOKEN = "after_first_token"


@dataclass(slots=True)
class Delivery:
    """One answer as it was given so far.

    Attributes:
        promise: what was promised.
        arrival: instant of arrival at the router.
        num_before: tokens of the answer that were emitted elsewhere.
        relegation: whether and when it was relegated.
        num_tokens: tokens emitted here.
        num_late_tokens: those of them that came after they were due; 0 for batch promises.
        largest_tbt: seconds, the largest gap between two tokens emitted here; None with fewer than two.
        first_at: instant of the first token emitted here.
        last_at: instant of the last token.
    """

    promise: Promise
    arrival: float
    num_before: int = 0
    relegation: Relegation = Relegation.NONE
    num_tokens: int = 0
    num_late_tokens: int = 0
    largest_tbt: float | None = None
    first_at: float | None = None
    last_at: float | None = None
    _clock: TokenClock | None = field(default=None, init=False)

    @property
    def ttft(self) -> float | None:
        """Seconds from arrival to the first token; None before it, or when it was emitted elsewhere."""
        return None if self.first_at is None or self.num_before else self.first_at - self.arrival

    @property
    def ttlt(self) -> float | None:
        """Seconds from arrival to the last token so far; None without one."""
        return None if self.last_at is None else self.last_at - self.arrival

    @property
    def is_on_time(self) -> bool:
        """Whether the promise was kept: the TTFT of an interactive one, the TTLT of a batch one.

        An interactive answer that was begun elsewhere is taken to have been begun on time.
        """
        slo = self.promise.slo
        if (due := first_token_deadline(self.arrival, slo)) is not None:
            return bool(self.num_before) or (self.first_at is not None and self.first_at <= due)
        due = answer_deadline(self.arrival, slo)
        return due is not None and (self.last_at is None or self.last_at <= due)

    def take(self, instants: Iterable[float]) -> None:
        """Count tokens that were emitted at these instants."""
        for emitted_at in instants:
            if self.last_at is not None:
                self.largest_tbt = max(self.largest_tbt or 0.0, emitted_at - self.last_at)
            self._note_lateness(emitted_at)
            self.first_at = emitted_at if self.first_at is None else self.first_at
            self.last_at = emitted_at
            self.num_tokens += 1

    def relegate(self, *, before_first_token: bool) -> None:
        """Note that it was relegated, the first time that it is."""
        if self.relegation is Relegation.NONE:
            self.relegation = Relegation.BEFORE_FIRST_TOKEN if before_first_token else Relegation.AFTER_FIRST_TOKEN

    def _note_lateness(self, emitted_at: float) -> None:
        slo = self.promise.slo
        if not isinstance(slo, Interactive):
            return
        position = self.num_before + self.num_tokens
        if self._clock is None:
            first_at = emitted_at if position == 0 else self.arrival
            self._clock = TokenClock.started(self.arrival, slo, first_token_at=first_at)
        due = self._clock.due(position) if position else self.arrival + slo.ttft
        self.num_late_tokens += emitted_at > due
