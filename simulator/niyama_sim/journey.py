"""What has become of one request so far, on its way through a simulated cluster."""

from array import array
from dataclasses import dataclass, field

from niyama_core.request import Request
from niyama_eval.outcomes import OutcomeState, Relegation, RequestOutcome
from niyama_eval.workloads import WorkloadRequest

__all__ = ["Journey"]


@dataclass(slots=True)
class Journey:
    """One request's way: where it is, when its tokens came, whether it was relegated or moved.

    Attributes:
        asked: the request of the workload.
        router: which router it came to.
        replica: where it is.
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
        """Return the request as a planner may know it: with the cap on its answer, without the answer's length."""
        asked = self.asked
        return Request(
            request_id=asked.request_id,
            promise=asked.promise,
            arrival=asked.arrival,
            num_prompt_tokens=asked.num_prompt_tokens,
            max_output_tokens=max_output_tokens,
            app=asked.app,
        )

    def arrive(self, replica: str) -> None:
        """Note that it is on a replica."""
        self.replica = replica
        self.visited.append(replica)

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

    def rejected(self) -> RequestOutcome:
        """Return that it was refused at the door."""
        return RequestOutcome.of(self.asked, OutcomeState.REJECTED)
