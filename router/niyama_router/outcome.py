"""What became of a request, as a value that attainment and metrics count, and the trailing metadata that tell it."""

from dataclasses import dataclass
from enum import Enum

import grpc
from niyama.v1 import generation_pb2
from niyama_core.slo import Interactive
from niyama_runtime import wire
from niyama_runtime.status import Failure

from niyama_router.journey import Journey

__all__ = ["Outcome", "OutcomeKind", "kind_of_failure", "trailers"]


class OutcomeKind(Enum):
    """How a request ended."""

    COMPLETED = "completed"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INVALID = "invalid"
    """Taken on, and refused by the replica for what only it could see was wrong."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended; `completion` is there when it ended well."""

    journey: Journey
    kind: OutcomeKind
    completion: generation_pb2.Completion | None = None

    @property
    def qos_class(self) -> str:
        """The class of its promise."""
        return self.journey.admitted.promise.qos_class

    @property
    def is_relegated(self) -> bool:
        """Whether it was relegated, at its last replica or for good."""
        relegation = self.completion.relegation if self.completion else generation_pb2.RELEGATION_NONE
        return self.journey.is_relegated or relegation in _RELEGATED

    @property
    def num_deadline_tokens(self) -> int:
        """Tokens that had a deadline of their own."""
        is_interactive = isinstance(self.journey.admitted.promise.slo, Interactive)
        return self.completion.num_output_tokens if self.completion and is_interactive else 0


_RELEGATED = (generation_pb2.RELEGATION_BEFORE_FIRST_TOKEN, generation_pb2.RELEGATION_AFTER_FIRST_TOKEN)


def kind_of_failure(failure: Failure, journey: Journey) -> OutcomeKind:
    """Return what a request that ended with that failure counts as."""
    if failure.code is grpc.StatusCode.INVALID_ARGUMENT:
        return OutcomeKind.INVALID
    is_refusal = failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED and not journey.is_accepted
    return OutcomeKind.REJECTED if is_refusal else OutcomeKind.FAILED


def trailers(outcome: Outcome) -> tuple[tuple[str, str], ...]:
    """Return the trailing metadata; times are in milliseconds, and those that never came to be are left out."""
    journey, completion = outcome.journey, outcome.completion
    known = (
        ("niyama-request-id", journey.request_id),
        ("niyama-qos-class", outcome.qos_class),
        ("niyama-replica", journey.replica),
        ("niyama-relegated", _yes_or_no(outcome.is_relegated)),
        ("niyama-moved", str(journey.num_moves)),
        ("niyama-deadline-met", _yes_or_no(bool(completion and completion.on_time))),
    )
    times = _times(completion) if completion else ()
    # Metadata are ASCII; a name from a client or a manifest need not be.
    return tuple((key, value) for key, value in (*known, *times) if value and value.isascii() and value.isprintable())


def _times(completion: generation_pb2.Completion) -> tuple[tuple[str, str], ...]:
    durations = (
        ("niyama-ttft-ms", "ttft", completion.ttft),
        ("niyama-largest-tbt-ms", "largest_tbt", completion.largest_tbt),
        ("niyama-ttlt-ms", "ttlt", completion.ttlt),
    )
    return tuple(
        (key, f"{wire.duration_from_wire(duration) * 1000:.3f}")
        for key, field, duration in durations
        if completion.HasField(field)
    )


def _yes_or_no(value: bool) -> str:
    return "true" if value else "false"
