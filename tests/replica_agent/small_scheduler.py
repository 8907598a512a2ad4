"""A scheduler like vLLM's, as small as can be, to plan inside of: the same names, the same order of service.

It serves who runs in the order of a list, then who waits in the order of a queue, until a budget of tokens is spent;
each request gets all of its tokens that fit. The KV cache holds tokens; where one is missing, the last who runs loses
all of its own. `Machine` lets it compute in virtual time, as an engine core would.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from niyama_agent.engine_scheduler import EngineRecord
from niyama_agent.planned_scheduling import PlannedScheduling
from niyama_agent.scheduler_reports import Order, Report
from niyama_agent.scheduler_setup import SchedulerSetup, tagged
from niyama_core.latency import LatencyModel
from niyama_core.request import Request

__all__ = ["Heard", "Machine", "SmallRequest", "Step"]


class Status(Enum):
    """States of a request, by vLLM's names."""

    WAITING = auto()
    RUNNING = auto()
    PREEMPTED = auto()
    FINISHED_STOPPED = auto()
    FINISHED_ABORTED = auto()


@dataclass(frozen=True, slots=True)
class Sampling:
    """What of a request's parameters is read."""

    extra_args: Mapping[str, Any] | None


@dataclass(slots=True, eq=False)
class SmallRequest:
    """A request as an engine has it."""

    request_id: str
    num_prompt_tokens: int
    max_tokens: int
    sampling_params: Any
    num_computed_tokens: int = 0
    num_output_tokens: int = 0
    status: Status = Status.WAITING
    pooling_params: Any = None
    resumable: bool = False

    @property
    def num_tokens(self) -> int:
        return self.num_prompt_tokens + self.num_output_tokens


@dataclass(slots=True)
class Step:
    """What a step runs."""

    num_scheduled_tokens: dict[str, int] = field(default_factory=dict)


class _SmallScheduler:
    def __init__(self, kv_capacity_tokens: int, *, most_tokens: int, most_sequences: int) -> None:
        self.kv_capacity_tokens = kv_capacity_tokens
        self.max_num_scheduled_tokens = most_tokens
        self.max_num_active_reqs = most_sequences
        self.num_prefill_lookahead = 0
        self.running: list[SmallRequest] = []
        self.waiting: Any = None
        self.requests: dict[str, SmallRequest] = {}

    @property
    def free_tokens(self) -> int:
        return self.kv_capacity_tokens - sum(request.num_computed_tokens for request in self.requests.values())

    def add_request(self, request: SmallRequest) -> None:
        self.requests[request.request_id] = request
        self.waiting.add_request(request)

    def schedule(self, throttle_prefills: bool = False) -> Step:
        step, budget = Step(), self.max_num_scheduled_tokens
        was_short = False
        index = 0
        while index < len(self.running) and budget > 0:
            request = self.running[index]
            number = self._reserve_prefill_lookahead(
                request,
                request.num_computed_tokens,
                min(request.num_tokens - request.num_computed_tokens, budget),
            )
            while number > self.free_tokens and self.running:
                was_short = True
                self._preempt_request(self.running.pop(), 0.0)
            if request.status is not Status.RUNNING:
                break
            self._run(request, number, step)
            budget -= number
            index += 1
        while not was_short and budget > 0 and self.waiting and len(self.running) < self.max_num_active_reqs:
            request = self.waiting.peek_request()
            number = self._reserve_prefill_lookahead(request, 0, min(request.num_tokens, budget))
            if number == 0 or number > self.free_tokens:
                break
            self.waiting.pop_request()
            self.running.append(request)
            request.status = Status.RUNNING
            self._run(request, number, step)
            budget -= number
        return step

    def _run(self, request: SmallRequest, number: int, step: Step) -> None:
        if number:
            step.num_scheduled_tokens[request.request_id] = number
            request.num_computed_tokens += number

    def get_grammar_bitmask(self, output: Step) -> None:
        return None

    def update_from_output(self, output: Step, model_output: Mapping[str, int]) -> dict[int, Any]:
        """Let those whose prompt is complete have a token; `model_output` is how long each answer will be."""
        for name in output.num_scheduled_tokens:
            request = self.requests.get(name)
            if request is None or request.num_computed_tokens < request.num_tokens:
                continue
            request.num_output_tokens += 1
            if request.num_output_tokens == model_output[name]:
                self.running.remove(request)
                request.status = Status.FINISHED_STOPPED
                self._free_request(request)
        return {}

    def finish_requests(self, request_ids: str, finished_status: Status) -> None:
        request = self.requests[request_ids]
        if request in self.running:
            self.running.remove(request)
        self.waiting.remove_requests([request])
        request.status = finished_status
        self._free_request(request)

    def _reserve_prefill_lookahead(self, request: SmallRequest, *tokens: int) -> int:
        return tokens[1]

    def _preempt_request(self, request: SmallRequest, timestamp: float, **how: bool) -> None:
        request.status = Status.PREEMPTED
        request.num_computed_tokens = 0
        self.waiting.prepend_request(request)

    def _free_request(self, request: SmallRequest, delay_free_blocks: bool = False) -> None:
        del self.requests[request.request_id]


class SmallPlannedScheduler(PlannedScheduling, _SmallScheduler):
    """The small scheduler, planned."""

    def kv_free_tokens(self) -> int:
        return self.free_tokens

    def kv_used_tokens(self) -> int:
        return self.kv_capacity_tokens - self.free_tokens

    def num_cached_tokens(self, request: EngineRecord) -> int:
        return 0

    def tell_handed_back(self, request: EngineRecord, outputs: dict[int, Any]) -> None:
        outputs.setdefault(0, []).append(request.request_id)


@dataclass(slots=True)
class Heard:
    """A channel whose reports are kept and whose orders are laid in."""

    reports: list[Report] = field(default_factory=list)
    laid_in: list[Order] = field(default_factory=list)

    def send(self, reports: Any) -> None:  # noqa: ANN401
        self.reports += reports

    def orders(self) -> list[Order]:
        orders, self.laid_in = self.laid_in, []
        return orders


class Instant:
    """A clock that is set."""

    def __init__(self) -> None:
        self.instant = 0.0

    def now(self) -> float:
        return self.instant

    async def sleep_until(self, instant: float) -> None:
        raise NotImplementedError


class Machine:
    """An engine core with a planned small scheduler, in virtual time."""

    def __init__(self, setup: SchedulerSetup, law: LatencyModel, *, kv_tokens: int, most_tokens: int = 100_000) -> None:
        self.law = law
        self.clock = Instant()
        self.heard = Heard()
        self.scheduler = SmallPlannedScheduler(kv_tokens, most_tokens=most_tokens, most_sequences=100_000)
        self.scheduler.begin_planning(setup, self.heard, clock=self.clock)
        self.lengths: dict[str, int] = {}
        self.ends: float | None = None
        self.outputs: dict[int, Any] = {}
        self._step = Step()

    def admit(self, request: Request, num_output_tokens: int) -> None:
        """Take a request in that will have an answer of so many tokens."""
        self.lengths[request.request_id] = min(num_output_tokens, request.max_output_tokens)
        sampling = Sampling(tagged(request, request.request_id))
        self.scheduler.add_request(
            SmallRequest(request.request_id, request.num_prompt_tokens, request.max_output_tokens, sampling)
        )

    def abort(self, request_id: str) -> None:
        """Give a request up, if it is there."""
        if request_id in self.scheduler.requests:
            self.scheduler.finish_requests(request_id, Status.FINISHED_ABORTED)

    def begin(self, now: float) -> None:
        """Start a step, if there is anything to run."""
        self.clock.instant = now
        if not self.scheduler.requests:
            return
        self._step = self.scheduler.schedule()
        self.scheduler.get_grammar_bitmask(self._step)
        step = self.scheduler._step
        assert step is not None
        if self._step.num_scheduled_tokens:
            self.ends = now + self.law.iteration_time(step.plan.shape)
        else:
            self.outputs = self.scheduler.update_from_output(self._step, self.lengths)

    def end(self) -> None:
        """Complete the step that runs."""
        assert self.ends is not None
        self.clock.instant, self.ends = self.ends, None
        self.outputs = self.scheduler.update_from_output(self._step, self.lengths)
