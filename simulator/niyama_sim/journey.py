"""What has become of one request so far, on its way through a simulated cluster."""

from array import array
from dataclasses import dataclass, field

from niyama_core.deadlines import TokenClock
from niyama_core.request import Request
from niyama_core.slo import Batch
from niyama_eval.outcomes import OutcomeState, Relegation, RequestOutcome
from niyama_eval.workloads import WorkloadRequest

__all__ = ["Journey"]


@dataclass(slots=True)
class Journey:
    """One request's way: where it is, when its tokens came, whether it was relegated or moved.

    Attributes:
        asked: the request of the workload.
        router: which router it came to.
        replica: where it is; empty when nowhere.
        emitted_at: instants of its tokens; all are there when it has left its replica.
        relegation: whether and when it was relegated.
        visited: the replicas it has been on.
        is_done: whether its answer has ended.
    """

    asked: WorkloadRequest
    router: int = 0
    replica: str = ""
    emitted_at: "array[float]" = field(default_factory=lambda: array("d"))
    relegation: Relegation = Relegation.NONE
    visited: list[str] = field(default_factory=list)
    is_done: bool = False

    def request(self, max_output_tokens: int) -> Request:
        """Return the request as a planner may know it: with the cap on its answer, without the answer's length.

        An answer that has begun elsewhere is resumed: what has been emitted is computed again as if it were prompt.
        """
        asked, num_emitted = self.asked, len(self.emitted_at)
        return Request(
            request_id=asked.request_id,
            promise=asked.promise,
            arrival=asked.arrival,
            num_prompt_tokens=self.num_prompt_tokens,
            max_output_tokens=max_output_tokens - num_emitted,
            app=asked.app,
            next_due=self._next_due(),
        )

    @property
    def num_prompt_tokens(self) -> int:
        """Tokens to compute before its next token."""
        return self.asked.num_prompt_tokens + len(self.emitted_at)

    @property
    def num_output_tokens(self) -> int:
        """Tokens of its answer that are still to come, if no cap ends it before."""
        return self.asked.num_output_tokens - len(self.emitted_at)

    def _next_due(self) -> float | None:
        """Return when the next token of an interactive answer that has begun is due."""
        slo = self.asked.promise.slo
        if isinstance(slo, Batch) or not self.emitted_at:
            return None
        clock = TokenClock.started(self.asked.arrival, slo, first_token_at=self.emitted_at[0])
        return clock.due(len(self.emitted_at))

    def arrive(self, replica: str) -> None:
        """Note that it is on a replica."""
        self.replica = replica
        self.visited.append(replica)

    def wait(self) -> None:
        """Note that it is on no replica."""
        self.replica = ""

    def relegate(self) -> None:
        """Note that it was relegated, the first time that it is."""
        if self.relegation is Relegation.NONE:
            self.relegation = Relegation.AFTER_FIRST_TOKEN if self.emitted_at else Relegation.BEFORE_FIRST_TOKEN

    def restore(self) -> None:
        """Note that it goes where it can be on time."""
        self.relegation = Relegation.NONE

    def outcome(self) -> RequestOutcome:
        """Return what came of it."""
        return RequestOutcome.of(
            self.asked,
            OutcomeState.COMPLETED if self.is_done else OutcomeState.LOST,
            emitted=array("d", [instant - self.asked.arrival for instant in self.emitted_at]),
            relegation=self.relegation,
            num_moves=max(0, len(self.visited) - 1),
            replica=self.replica,
        )

    def failed(self) -> RequestOutcome:
        """Return that no replica was there to serve it."""
        emitted = array("d", [instant - self.asked.arrival for instant in self.emitted_at])
        return RequestOutcome.of(self.asked, OutcomeState.FAILED, emitted=emitted, relegation=self.relegation)

    def rejected(self) -> RequestOutcome:
        """Return that it was refused at the door."""
        return RequestOutcome.of(self.asked, OutcomeState.REJECTED)
