"""What came of one request, and whether that kept its promise.

Times are seconds since the request's arrival. What a token's lateness is measured by is the moment the engine emitted
it; a reader who is slow to take it changes nothing.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from niyama_core.deadlines import TokenClock, service_deadline
from niyama_core.slo import Batch, Importance, Interactive, Slo

from niyama_eval.workloads import WorkloadRequest

__all__ = ["OutcomeState", "Relegation", "RequestOutcome", "num_late_tokens"]

# Sums of floats, and durations that crossed a wire in nanoseconds, differ by less from what they stand for.
_ROUNDING_SECONDS = 1e-6


class OutcomeState(Enum):
    """How a request ended."""

    COMPLETED = "completed"
    REJECTED = "rejected"
    """Refused at the door, and told so."""
    FAILED = "failed"
    """Accepted, and ended with an error."""
    LOST = "lost"
    """Accepted, and neither completed nor ended with an error."""


class Relegation(Enum):
    """When a request was first put behind all that could be on time."""

    NONE = "none"
    BEFORE_FIRST_TOKEN = "before_first_token"
    AFTER_FIRST_TOKEN = "after_first_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOutcome:
    """What came of one request.

    Attributes:
        request_id: as in the workload.
        qos_class: name of its class.
        importance: its own, whatever the class's is.
        slo: what was promised.
        arrival: seconds since the start of the run.
        num_prompt_tokens: tokens of the prompt.
        num_output_tokens: tokens of the answer it asked for.
        state: how it ended.
        emitted: seconds since arrival at which the engine emitted each token, rising.
        ttft: seconds to its first token; None without one.
        ttlt: seconds to its last token; None unless it completed.
        num_late_tokens: tokens emitted after they were due.
        relegation: whether and when it was relegated.
        num_moves: how often it went to another replica.
        replica: where it ended; empty when nowhere.
    """

    request_id: str
    qos_class: str
    importance: Importance
    slo: Slo
    arrival: float
    num_prompt_tokens: int
    num_output_tokens: int
    state: OutcomeState
    emitted: Sequence[float] = field(default_factory=lambda: array("d"), repr=False)
    ttft: float | None = None
    ttlt: float | None = None
    num_late_tokens: int = 0
    relegation: Relegation = Relegation.NONE
    num_moves: int = 0
    replica: str = ""

    @classmethod
    def of(
        cls,
        request: WorkloadRequest,
        state: OutcomeState,
        *,
        emitted: Sequence[float] = (),
        relegation: Relegation = Relegation.NONE,
        num_moves: int = 0,
        replica: str = "",
    ) -> "RequestOutcome":
        """Return the outcome of a request of a workload, with all that follows from its tokens' times."""
        completed = state is OutcomeState.COMPLETED and len(emitted) > 0
        return cls(
            request_id=request.request_id,
            qos_class=request.promise.qos_class,
            importance=request.promise.importance,
            slo=request.promise.slo,
            arrival=request.arrival,
            num_prompt_tokens=request.num_prompt_tokens,
            num_output_tokens=request.num_output_tokens,
            state=state,
            emitted=emitted if isinstance(emitted, array) else array("d", emitted),
            ttft=emitted[0] if len(emitted) > 0 else None,
            ttlt=emitted[-1] if completed else None,
            num_late_tokens=num_late_tokens(emitted, request.promise.slo),
            relegation=relegation,
            num_moves=num_moves,
            replica=replica,
        )

    @property
    def is_on_time(self) -> bool:
        """Whether it completed and kept its promise by the published rule: TTFT if interactive, TTLT if batch."""
        answered = self.ttft if isinstance(self.slo, Interactive) else self.ttlt
        if self.state is not OutcomeState.COMPLETED or answered is None:
            return False
        return answered <= service_deadline(0.0, self.slo) + _ROUNDING_SECONDS

    @property
    def is_important(self) -> bool:
        """Whether it is not of low importance."""
        return self.importance is Importance.HIGH


def num_late_tokens(emitted: Sequence[float], slo: Slo) -> int:
    """Return how many tokens came after they were due, from their seconds since arrival.

    A batch request has no deadline a token. The first token of an interactive one is late after TTFT; the others by
    its token clock, which hangs on the TTFT deadline, or on the first token if that came later.
    """
    if isinstance(slo, Batch) or len(emitted) == 0:
        return 0
    clock = TokenClock.started(0.0, slo, first_token_at=emitted[0])
    times = np.asarray(emitted) - _ROUNDING_SECONDS
    due = clock.anchor + np.arange(len(times)) * clock.tbt
    due[0] = slo.ttft
    return int(np.count_nonzero(times > due))
