"""When tokens are due.

Deadlines are instants on one process's monotonic clock. The token clock of an interactive request hangs on its TTFT
*deadline*, not on the real first token, so a first token that came early leaves its unused time as slack. A request
that missed its TTFT is re-anchored at its real first token, so that its slack does not stay negative for ever.

Source: QoServe (ASPLOS'26), section on deadlines; the re-anchoring follows the authors' artifact.
"""

from dataclasses import dataclass

from niyama_core.slo import Batch, Interactive, Slo, promised_seconds

__all__ = ["TokenClock", "answer_deadline", "first_token_deadline", "service_deadline"]


def first_token_deadline(arrival: float, slo: Slo) -> float | None:
    """Return the instant the first token is due, or None for a batch request."""
    match slo:
        case Interactive(ttft=ttft):
            return arrival + ttft
        case Batch():
            return None


def answer_deadline(arrival: float, slo: Slo) -> float | None:
    """Return the instant the whole answer is due, or None for an interactive request."""
    match slo:
        case Interactive():
            return None
        case Batch(ttlt=ttlt):
            return arrival + ttlt


def service_deadline(arrival: float, slo: Slo) -> float:
    """Return the instant by which a request counts as on time: first token, or whole answer of a batch request."""
    return arrival + promised_seconds(slo)


@dataclass(frozen=True, slots=True)
class TokenClock:
    """When the tokens of one interactive request are due.

    Attributes:
        anchor: instant the first token is due, or came if that was later.
        tbt: seconds between consecutive deadlines.
    """

    anchor: float
    tbt: float

    @classmethod
    def started(cls, arrival: float, slo: Interactive, *, first_token_at: float) -> "TokenClock":
        """Return the clock of a request whose first token came at `first_token_at`."""
        return cls(max(first_token_at, arrival + slo.ttft), slo.tbt)

    def due(self, position: int) -> float:
        """Return the instant that token `position`, counted from 0, is due."""
        return self.anchor + position * self.tbt
