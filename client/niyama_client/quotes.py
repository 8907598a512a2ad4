"""What a cluster could promise at this moment, as values."""

from dataclasses import dataclass

from niyama.v1 import inference_pb2
from niyama_runtime.wire import duration_from_wire

__all__ = ["ClassQuote", "quotes_from_wire"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassQuote:
    """What could be promised to a request of one class.

    Attributes:
        qos_class: name of the class.
        ttft: seconds to the first token; None when none can be promised, because too many wait with no end in sight.
        ttlt: seconds to the last token; likewise.
        feasible: whether the class's own promise could be kept, with that confidence.
        confidence: share of such quotes that is expected to hold: what was asked for, or less while the router has seen
            few requests of the class. 0: none, and the times are bare forecasts.
        replica: who would serve it.
    """

    qos_class: str
    ttft: float | None
    ttlt: float | None
    feasible: bool
    confidence: float
    replica: str


def quotes_from_wire(message: inference_pb2.QuoteResponse) -> tuple[ClassQuote, ...]:
    """Return what a router quotes.

    Raises:
        WireError: a duration is broken.
    """
    return tuple(map(_quote_from_wire, message.quotes))


def _quote_from_wire(message: inference_pb2.ClassQuote) -> ClassQuote:
    return ClassQuote(
        qos_class=message.qos_class,
        ttft=duration_from_wire(message.ttft, "ttft") if message.HasField("ttft") else None,
        ttlt=duration_from_wire(message.ttlt, "ttlt") if message.HasField("ttlt") else None,
        feasible=message.feasible,
        confidence=message.confidence,
        replica=message.replica,
    )
