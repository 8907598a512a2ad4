"""One replica's engine, simulated: it plans when it is free, and an iteration takes as long as the law says.

Only the engine knows how long answers really are; the planner is told when one has ended.
"""

from array import array
from dataclasses import dataclass, field

from niyama_core.hot_value import hot_value
from niyama_core.latency import LatencyModel
from niyama_core.plan import IterationPlan
from niyama_core.planner import IterationPlanner
from niyama_core.request import Request

from niyama_sim.answers import Answers
from niyama_sim.noise import Noise, no_noise

__all__ = ["EngineCounts", "Iteration", "SimulatedEngine"]


@dataclass(slots=True)
class EngineCounts:
    """What an engine has done.

    Attributes:
        num_iterations: iterations that ended.
        num_prefill_iterations: those of them that computed prompts.
        busy_seconds: in iterations.
        prefill_tokens: computed of prompts, those computed again and those computed in vain included.
        decode_tokens: likewise, of answers.
        num_preempted: how often a request lost its KV.
    """

    num_iterations: int = 0
    num_prefill_iterations: int = 0
    busy_seconds: float = 0.0
    prefill_tokens: int = 0
    decode_tokens: int = 0
    num_preempted: int = 0


@hot_value
class Iteration:
    """An iteration that runs: what was planned, the instant it begins, and the seconds that it takes."""

    plan: IterationPlan
    begins: float
    seconds: float

    @property
    def ends(self) -> float:
        """The instant at which it is complete."""
        return self.begins + self.seconds


@dataclass(slots=True)
class SimulatedEngine:
    """An engine without a clock: `begin` starts an iteration, `end` completes it at the instant it said.

    Attributes:
        planner: decides the iterations.
        law: seconds that an iteration takes; another object than the planner's predictor.
        kv_capacity_tokens: what the KV cache holds.
        noise: factor on each iteration's time.
        counts: what has been done.
        running: the iteration that runs, if one does.
    """

    planner: IterationPlanner
    law: LatencyModel
    kv_capacity_tokens: int
    noise: Noise = no_noise
    counts: EngineCounts = field(default_factory=EngineCounts)
    running: Iteration | None = None
    _answers: Answers = field(default_factory=Answers)

    @property
    def kv_used_tokens(self) -> int:
        """Tokens in the KV cache."""
        return self._answers.kv_used_tokens

    def admit(self, request: Request, num_output_tokens: int, *, emitted_at: "array[float] | None" = None) -> None:
        """Take a request on.

        Args:
            request: what the planner may know of it.
            num_output_tokens: tokens of its answer, which ends earlier at the request's cap.
            emitted_at: where to put the instants of its tokens; all are there when the request has left.
        """
        self.planner.admit(request)
        self._answers.open(
            request.request_id,
            num_tokens=min(num_output_tokens, request.max_output_tokens),
            emitted_at=array("d") if emitted_at is None else emitted_at,
        )

    def abort(self, request_id: str) -> None:
        """Let go of a request and free its KV."""
        self.planner.abort(request_id)
        self._answers.close(request_id)

    def begin(self, now: float) -> Iteration | None:
        """Plan and start an iteration; None when there is nothing to run. The engine must be free."""
        if not self._answers:
            return None
        self._answers.note_plan()
        plan = self.planner.plan(now, self.kv_capacity_tokens - self._answers.kv_used_tokens)
        for request_id in plan.preempted:
            self._answers.empty(request_id)
            self.counts.num_preempted += 1
        if plan.is_empty:
            return None
        self.running = Iteration(plan, now, self.law.iteration_time(plan.shape) * self.noise())
        return self.running

    def end(self) -> list[str]:
        """Complete the iteration that runs; return whose answer that ended."""
        iteration = self.running
        if iteration is None:
            raise RuntimeError("no iteration runs: begin one first")
        self.running = None
        plan, now = iteration.plan, iteration.ends
        emitted = self.planner.record(plan.executed(iteration.seconds), now)
        answers = self._answers
        num_decoded, finished = answers.decode(plan.decodes, now)
        for chunk in plan.chunks:
            answers.prefill(chunk.request_id, chunk.num_tokens)
        # Those that have begun with this token come behind those that decoded.
        finished += [request_id for request_id in emitted[num_decoded:] if answers.begin(request_id, now)]
        for request_id in finished:
            self.planner.finish(request_id)
            answers.close(request_id)
        self._count(iteration)
        return finished

    def abandon(self, now: float) -> bool:
        """Break off the iteration that runs, which comes to nothing; return whether one did."""
        iteration, self.running = self.running, None
        if iteration is None:
            return False
        self.counts.busy_seconds += now - iteration.begins
        return True

    def _count(self, iteration: Iteration) -> None:
        counts, shape = self.counts, iteration.plan.shape
        counts.num_iterations += 1
        counts.num_prefill_iterations += shape.prefill_tokens > 0
        counts.busy_seconds += iteration.seconds
        counts.prefill_tokens += shape.prefill_tokens
        counts.decode_tokens += shape.num_decodes
