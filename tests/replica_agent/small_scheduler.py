"""A scheduler like vLLM's, as small as can be, to plan inside of: the same names, the same order of service.

It serves who runs in the order of a list, then who waits in the order of a queue, until a budget of tokens is spent;
each request gets all of its tokens that fit. It may plan a step while one is under way: then a token that is not there
yet stands as a placeholder, as in vLLM's asynchronous scheduling. The KV cache holds tokens; where one is missing, the
last who runs loses all of its own. `Machine` lets it compute in virtual time, as an engine core would.
"""

from collections import deque
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
    num_placeholders: int = 0
    num_in_flight: int = 0
    num_stale: int = 0
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
    sampled: set[str] = field(default_factory=set)


class _SmallScheduler:
    def __init__(self, kv_capacity_tokens: int, *, most_tokens: int, most_sequences: int) -> None:
        self.kv_capacity_tokens = kv_capacity_tokens
        self.max_num_scheduled_tokens = most_tokens
        self.max_num_active_reqs = most_sequences
        self.num_prefill_lookahead = 0
        self.running: list[SmallRequest] = []
        self.waiting: Any = None
        self.requests: dict[str, SmallRequest] = {}
        self.cached: dict[str, int] = {}
        """First tokens of a request's prompt that the KV cache has."""

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
                min(request.num_tokens + request.num_placeholders - request.num_computed_tokens, budget),
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
            hit = min(self.cached.get(request.request_id, 0), request.num_tokens - 1)
            number = self._reserve_prefill_lookahead(request, hit, min(request.num_tokens - hit, budget))
            if number == 0 or number > self.free_tokens or request.num_stale:
                break
            self.waiting.pop_request()
            self.running.append(request)
            request.status = Status.RUNNING
            request.num_computed_tokens = hit
            self._run(request, number, step)
            budget -= number
        return step

    def _run(self, request: SmallRequest, number: int, step: Step) -> None:
        if number:
            step.num_scheduled_tokens[request.request_id] = number
            request.num_computed_tokens += number
            if request.num_computed_tokens >= request.num_tokens + request.num_placeholders:
                request.num_placeholders += 1
                request.num_in_flight += 1
                step.sampled.add(request.request_id)

    def get_grammar_bitmask(self, output: Step) -> None:
        return None

    def update_from_output(self, output: Step, model_output: Mapping[str, int]) -> dict[int, Any]:
        """Let those whose prompt is complete have a token; `model_output` is how long each answer will be."""
        for name in output.sampled:
            request = self.requests.get(name)
            if request is None:
                continue
            request.num_in_flight -= 1
            if request.num_stale:
                request.num_stale -= 1
            else:
                request.num_placeholders -= 1
            request.num_output_tokens += 1
            if request.num_output_tokens == model_output[name]:
                if request in self.running:
                    self.running.remove(request)
                self.waiting.remove_requests([request])
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
        request.num_computed_tokens = request.num_placeholders = 0
        request.num_stale = request.num_in_flight
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
        return self.cached.get(request.request_id, 0)

    def tell_handed_back(self, request: EngineRecord, outputs: dict[int, Any]) -> None:
        outputs.setdefault(0, []).append(request.request_id)


@dataclass(slots=True)
class Heard:
    """A channel whose reports are kept and whose orders are laid in."""

    reports: list[Report] = field(default_factory=list)
    laid_in: list[Order] = field(default_factory=list)
    num_dropped: int = 0

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
    """An engine core with a planned small scheduler, in virtual time, with so many steps under way at once."""

    def __init__(self, setup: SchedulerSetup, law: LatencyModel, *, kv_tokens: int, depth: int = 1) -> None:
        self.law = law
        self.depth = depth
        self.free_at = 0.0
        self.clock = Instant()
        self.heard = Heard()
        self.scheduler = SmallPlannedScheduler(kv_tokens, most_tokens=100_000, most_sequences=100_000)
        self.scheduler.begin_planning(setup, self.heard, clock=self.clock)
        self.lengths: dict[str, int] = {}
        self.outputs: dict[int, Any] = {}
        self.under_way: deque[tuple[float, Step]] = deque()

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

    @property
    def ends(self) -> float | None:
        """The instant at which the first of the steps under way ends; None without one."""
        return self.under_way[0][0] if self.under_way else None

    @property
    def step(self) -> Step:
        """The step that was begun last."""
        return self.under_way[-1][1]

    def begin(self, now: float) -> None:
        """Begin steps until as many are under way as may be, or there is nothing to run."""
        self.clock.instant = now
        while len(self.under_way) < self.depth and self.scheduler.requests:
            step = self.scheduler.schedule()
            self.scheduler.get_grammar_bitmask(step)
            if not step.num_scheduled_tokens:
                if self.under_way:
                    # An engine core would keep it in its queue; it says nothing.
                    self.scheduler._under_way.pop()
                else:
                    self.outputs = self.scheduler.update_from_output(step, self.lengths)
                return
            plan = self.scheduler._under_way[-1].plan
            self.free_at = max(now, self.free_at) + self.law.iteration_time(plan.shape)
            self.under_way.append((self.free_at, step))

    def end(self) -> None:
        """Complete the first of the steps under way."""
        self.clock.instant, step = self.under_way.popleft()
        self.outputs = self.scheduler.update_from_output(step, self.lengths)
