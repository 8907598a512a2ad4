"""How the requests of each class have fared at this router since it started."""

from dataclasses import dataclass

from niyama.v1 import inference_pb2
from niyama_core.slo import QosClasses

from niyama_router.outcome import Outcome, OutcomeKind

__all__ = ["Attainment"]


@dataclass(slots=True)
class _Counts:
    """Of one class; as in `ClassAttainment`."""

    num_requests: int = 0
    num_completed: int = 0
    num_on_time: int = 0
    num_rejected: int = 0
    num_failed: int = 0
    num_cancelled: int = 0
    num_relegated: int = 0
    num_moved: int = 0
    num_deadline_tokens: int = 0
    num_late_tokens: int = 0
    num_placed: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one request that has ended."""
        self.num_completed += outcome.kind is OutcomeKind.COMPLETED
        self.num_rejected += outcome.kind is OutcomeKind.REJECTED
        self.num_failed += outcome.kind is OutcomeKind.FAILED
        self.num_cancelled += outcome.kind is OutcomeKind.CANCELLED
        # Refused at the door is not taken on, and a client's mistake is nobody's broken promise.
        self.num_requests -= outcome.kind in (OutcomeKind.REJECTED, OutcomeKind.INVALID)
        self.num_relegated += outcome.is_relegated
        self.num_moved += outcome.journey.num_moves > 0
        self.num_deadline_tokens += outcome.num_deadline_tokens
        if outcome.completion is not None:
            self.num_on_time += outcome.completion.on_time
            self.num_late_tokens += outcome.completion.num_late_tokens


class Attainment:
    """Counts by class."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._by_class: dict[str, _Counts] = {}

    def began(self, qos_class: str) -> None:
        """Count a request that was admitted."""
        self._of(qos_class).num_requests += 1

    def placed(self, qos_class: str) -> None:
        """Count a request that goes on without this router."""
        self._of(qos_class).num_placed += 1

    def ended(self, outcome: Outcome) -> None:
        """Count what became of it."""
        self._of(outcome.qos_class).add(outcome)

    def by_class(self, classes: QosClasses) -> list[inference_pb2.ClassAttainment]:
        """Return the counts: the classes in their order, then others that had requests."""
        names = dict.fromkeys((*classes.by_name, *self._by_class))
        return [_to_wire(name, self._by_class.get(name, _Counts())) for name in names]

    def _of(self, qos_class: str) -> _Counts:
        return self._by_class.setdefault(qos_class, _Counts())


def _to_wire(name: str, counts: _Counts) -> inference_pb2.ClassAttainment:
    return inference_pb2.ClassAttainment(
        qos_class=name,
        num_requests=counts.num_requests,
        num_completed=counts.num_completed,
        num_on_time=counts.num_on_time,
        num_rejected=counts.num_rejected,
        num_failed=counts.num_failed,
        num_cancelled=counts.num_cancelled,
        num_relegated=counts.num_relegated,
        num_moved=counts.num_moved,
        num_deadline_tokens=counts.num_deadline_tokens,
        num_late_tokens=counts.num_late_tokens,
        num_placed=counts.num_placed,
    )
