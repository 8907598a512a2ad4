"""One replica's engine, simulated: it plans when it is free, and an iteration takes as long as the law says.

Only the engine knows how long answers really are; the planner is told when one has ended.
"""

from dataclasses import dataclass, field

from niyama_core.latency import LatencyModel
from niyama_core.plan import ExecutedIteration, IterationPlan
from niyama_core.planner import IterationPlanner
from niyama_core.request import Request

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


@dataclass(frozen=True, slots=True)
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
class _Answer:
    """What the engine alone knows of a request: tokens still to emit, and tokens in the KV cache."""

    tokens_left: int
    kv_tokens: int = 0


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
    _answers: dict[str, _Answer] = field(default_factory=dict)
    _admitted_since_plan: set[str] = field(default_factory=set)
    _kv_used: int = 0

    @property
    def kv_used_tokens(self) -> int:
        """Tokens in the KV cache."""
        return self._kv_used

    def admit(self, request: Request, num_output_tokens: int) -> None:
        """Take a request on, whose answer will have so many tokens, or as many as the request's cap allows."""
        self.planner.admit(request)
        self._answers[request.request_id] = _Answer(min(num_output_tokens, request.max_output_tokens))
        self._admitted_since_plan.add(request.request_id)

    def abort(self, request_id: str) -> None:
        """Let go of a request and free its KV."""
        self.planner.abort(request_id)
        self._forget(request_id)

    def begin(self, now: float) -> Iteration | None:
        """Plan and start an iteration; None when there is nothing to run. The engine must be free."""
        if not self._answers:
            return None
        self._admitted_since_plan.clear()
        plan = self.planner.plan(now, self.kv_capacity_tokens - self._kv_used)
        for request_id in plan.preempted:
            self._free(request_id)
            self.counts.num_preempted += 1
        if plan.is_empty:
            return None
        self.running = Iteration(plan, now, self.law.iteration_time(plan.shape) * self.noise())
        return self.running

    def end(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Complete the iteration that runs; return who has one more token, and whose answer that ended."""
        iteration = self.running
        if iteration is None:
            raise RuntimeError("no iteration runs: begin one first")
        self.running = None
        executed = iteration.plan.executed(iteration.seconds)
        emitted = self.planner.record(executed, iteration.ends)
        self._hold(executed)
        finished = self._emit(emitted)
        for request_id in finished:
            self.planner.finish(request_id)
            self._forget(request_id)
        self._count(iteration)
        return emitted, finished

    def _hold(self, executed: ExecutedIteration) -> None:
        """Count the KV that an iteration has filled."""
        for request_id in executed.decodes:
            self._fill(request_id, 1)
        for chunk in executed.chunks:
            self._fill(chunk.request_id, chunk.num_tokens)

    def _fill(self, request_id: str, num_tokens: int) -> None:
        """Count KV of a request; none of one that was let go since the plan, even if it has come again."""
        if request_id in self._answers and request_id not in self._admitted_since_plan:
            self._answers[request_id].kv_tokens += num_tokens
            self._kv_used += num_tokens

    def _emit(self, request_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Count a token of each; return whose answer that ended."""
        finished = []
        for request_id in request_ids:
            answer = self._answers[request_id]
            answer.tokens_left -= 1
            if answer.tokens_left <= 0:
                finished.append(request_id)
        return tuple(finished)

    def _free(self, request_id: str) -> None:
        answer = self._answers[request_id]
        self._kv_used -= answer.kv_tokens
        answer.kv_tokens = 0

    def _forget(self, request_id: str) -> None:
        if request_id in self._answers:
            self._free(request_id)
            del self._answers[request_id]

    def _count(self, iteration: Iteration) -> None:
        counts, shape = self.counts, iteration.plan.shape
        counts.num_iterations += 1
        counts.num_prefill_iterations += shape.prefill_tokens > 0
        counts.busy_seconds += iteration.seconds
        counts.prefill_tokens += shape.prefill_tokens
        counts.decode_tokens += shape.num_decodes
