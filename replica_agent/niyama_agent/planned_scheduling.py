"""The planner of the core inside an engine's own scheduler, without a copy of a line of it.

vLLM's `schedule()` serves who runs in the order of a list, then who waits in the order of a queue, until a budget of
tokens is spent. `PlannedScheduling` stands before such a scheduler: each step it asks the planner, sets order, budget
and limits so that the engine's own loop arrives at the plan, lets it run, and reports to the planner what it did. What
the engine does otherwise (a block of KV that is missing, a grammar that is not compiled yet) is recorded as what was
run, and the next plan starts from there.

    plan          becomes
    budget        `max_num_scheduled_tokens`, for the step
    order         `running`: decodes, then begun prefills as planned; `waiting`: those that may begin, as planned
    chunk         the most tokens that one prefill gets: `_reserve_prefill_lookahead`
    hold          who runs and is not planned stays out of `running` for the step, and keeps its KV
    preemption    `_preempt_request`, before the engine looks for a victim itself

A request that carries no promise is promised an answer within ten minutes. Those that no plan can hold (pooling models,
sessions whose prompt comes in parts) run in the engine's order, beside the plan, and are counted.

Mixed into vLLM's scheduler in `vllm_scheduler`; the tests mix it into a small one of their own, too.
"""

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from niyama_core.journal import IterationRecord
from niyama_core.journaled_planner import JournaledPlanner
from niyama_core.json_records import JsonRecordError, read_record
from niyama_core.plan import Chunk, ExecutedIteration, IterationPlan, time_of
from niyama_core.planner import IterationPlanner
from niyama_core.policies import SchedulerSettings, build_policy, build_predictor
from niyama_core.request import Request
from niyama_core.slo import Batch, Promise
from niyama_runtime.clock import Clock

from niyama_agent.engine import EngineLoad
from niyama_agent.engine_scheduler import EngineRecord, EngineStep
from niyama_agent.planned_queue import PlannedQueue
from niyama_agent.scheduler_reports import (
    BeginAnew,
    HandBack,
    Order,
    RelegatedName,
    Report,
    Reschedule,
    SchedulerChannel,
)
from niyama_agent.scheduler_setup import KEY, RequestTag, SchedulerSetup, bounded

if TYPE_CHECKING:
    from niyama_agent.engine_scheduler import EngineScheduler as _Engine
else:
    _Engine = object

__all__ = ["PlannedScheduling"]

_LOAD_PERIOD_SECONDS = 0.05
_LEAST_SECONDS = 1e-9
_UNPROMISED = Promise("unpromised", Batch(ttlt=600.0))
_WHOLE = frozenset({"FINISHED_STOPPED", "FINISHED_LENGTH_CAPPED", "FINISHED_REPETITION"})
_NO_LIMITS: Mapping[str, int] = MappingProxyType({})
_NOTHING_RAN = ExecutedIteration((), (), 0.0, budget_spent=False)


@dataclass(slots=True)
class _Step:
    """A step from its plan to what came of it.

    Attributes:
        plan: what was planned.
        started: the instant from which its time counts, if the step before has ended by then.
        limits: the most tokens of each prefill that is planned.
        beginning: those of them that wait.
        executed: what the engine runs of it, its time still missing.
        is_recorded: whether the planner knows of it, because the next step was planned before this one had ended.
    """

    plan: IterationPlan
    started: float
    limits: Mapping[str, int]
    beginning: tuple[str, ...] = ()
    executed: ExecutedIteration = _NOTHING_RAN
    is_recorded: bool = False

    @property
    def has_work(self) -> bool:
        """Whether the engine runs anything."""
        return bool(self.executed.decodes or self.executed.chunks)


class PlannedScheduling(_Engine):
    """Comes before an engine's scheduler in the order of its class, and plans its steps."""

    def begin_planning(self, setup: SchedulerSetup, channel: SchedulerChannel, *, clock: Clock) -> None:
        """Take over; to be called when the engine's own scheduler is ready.

        Args:
            setup: how to plan.
            channel: who is told.
            clock: by which deadlines are judged.
        """
        self._clock = clock
        self._channel = channel
        self._most_tokens = self.max_num_scheduled_tokens
        self._most_active = self.max_num_active_reqs
        self._begin_anew(BeginAnew(setup.scheduler, setup.predictor))
        self._postponed: BeginAnew | None = None
        self._names: dict[str, str] = {}
        self._unplanned: dict[str, None] = {}
        self._cached: dict[str, int] = {}
        self._limits = _NO_LIMITS
        self._under_way: deque[_Step] = deque()
        self._is_preempting = False
        self._finished: list[str] = []
        self._handed_back: list[Any] = []
        self._outbox: list[Report] = []
        self._reported_at = self._busy_since = 0.0
        self._num_unplanned = 0
        self.waiting = PlannedQueue[Any]()

    @abstractmethod
    def kv_free_tokens(self) -> int:
        """Return how many tokens the KV cache can still hold, so that every decode of a step finds its room."""

    @abstractmethod
    def kv_used_tokens(self) -> int:
        """Return how many tokens of KV are held."""

    @abstractmethod
    def num_cached_tokens(self, request: EngineRecord) -> int:
        """Return how many first tokens of a waiting request the KV cache holds."""

    @abstractmethod
    def tell_handed_back(self, request: EngineRecord, outputs: dict[int, Any]) -> None:
        """Put word into the outputs of a step that a request was handed back."""

    def add_request(self, request: Any) -> None:  # noqa: ANN401, an engine's own record
        """Take a request in, as the engine does, and admit it to the planner."""
        self._obey_orders()
        is_new = request.request_id not in self.requests
        super().add_request(request)
        if is_new:
            self._admit(request)

    def schedule(self, throttle_prefills: bool = False) -> Any:  # noqa: ANN401
        """Plan a step and let the engine's own loop carry it out."""
        self._obey_orders()
        now = self._clock.now()
        self._record_under_way(now)
        plan = self._planner.plan(now, self.kv_free_tokens())
        self._note_relegated(plan.relegated)
        self._preempt(plan.preempted, now)
        limits = {chunk.request_id: chunk.num_tokens for chunk in plan.chunks}
        step = _Step(plan, now if self._under_way else self._busy_since or now, limits)
        self._under_way.append(step)
        held = self._arrange(step)
        self._limits, self.max_num_active_reqs = limits, self._most_active - len(held)
        output: EngineStep = super().schedule(throttle_prefills)
        self._limits, self.max_num_active_reqs = _NO_LIMITS, self._most_active
        self.max_num_scheduled_tokens = self._most_tokens
        self.running += held
        self._note_cached(step, output.num_scheduled_tokens)
        scheduled = output.num_scheduled_tokens
        if self._unplanned:
            scheduled = {name: number for name, number in scheduled.items() if name not in self._unplanned}
        step.executed = _executed(plan, scheduled)
        return output

    def get_grammar_bitmask(self, output: Any) -> Any:  # noqa: ANN401
        """Do what the engine asks for; it asks while the model computes, so reports that are sent now delay nothing."""
        self._report()
        return super().get_grammar_bitmask(output)

    def update_from_output(self, output: Any, model_output: Any) -> dict[int, Any]:  # noqa: ANN401
        """Take in what the model computed, as the engine does, and record it."""
        outputs = super().update_from_output(output, model_output)
        self._complete(self._under_way.popleft() if self._under_way else None)
        for request in self._handed_back:
            self.tell_handed_back(request, outputs)
        self._handed_back.clear()
        if not len(self._planner) and not self._under_way:
            # The model is idle now: there may be no later moment.
            self._busy_since = 0.0
            self._report()
        return outputs

    def _reserve_prefill_lookahead(self, request: Any, *tokens: int) -> int:  # noqa: ANN401
        """Return how many tokens of a request may run: what the engine says, and no more than is planned."""
        limit = self._limits.get(request.request_id)
        # Asked of every decode in every step: vLLM's own rule is asked where it has something to say.
        allowed = super()._reserve_prefill_lookahead(request, *tokens) if self.num_prefill_lookahead else tokens[1]
        return allowed if limit is None else min(allowed, limit)

    def _preempt_request(self, request: Any, timestamp: float, **how: bool) -> None:  # noqa: ANN401
        """Take the KV of a request, as the engine does, and tell the planner unless it was the plan."""
        super()._preempt_request(request, timestamp, **how)
        self._cached.pop(request.request_id, None)
        if request.request_id in self._names and not self._is_preempting:
            self._planner.lose_kv(request.request_id)

    def _free_request(self, request: Any, delay_free_blocks: bool = False) -> Any:  # noqa: ANN401
        """Let go of a request, as the engine does, and tell the planner whether its answer was whole."""
        freed = super()._free_request(request, delay_free_blocks)
        request_id = request.request_id
        self._unplanned.pop(request_id, None)
        self._cached.pop(request_id, None)
        if self._names.pop(request_id, None) is None:
            return freed
        if request.status.name in _WHOLE:
            self._finished.append(request_id)
        else:
            self._planner.abort(request_id)
        return freed

    def _bounded(self, settings: SchedulerSettings) -> SchedulerSettings:
        return bounded(settings, most_tokens=self._most_tokens, most_sequences=self._most_active)

    def _begin_anew(self, order: BeginAnew) -> None:
        """Plan with a planner that knows nothing; nobody may be live."""
        settings = self._bounded(order.scheduler)
        self._predictor = build_predictor(settings, order.predictor)
        policy = build_policy(settings, self._predictor)
        self._scheduler = IterationPlanner(policy, self._predictor, max_num_seqs=settings.max_num_seqs)
        self._planner = JournaledPlanner(self._scheduler, self._keep_record)

    def _obey_orders(self) -> None:
        for order in self._channel.orders():
            self._obey(order)
        if self._postponed is not None and not len(self._planner) and not self._under_way:
            self._begin_anew(self._postponed)
            self._postponed = None

    def _admit(self, request: EngineRecord) -> None:
        request_id = request.request_id
        if request.pooling_params is not None or request.resumable:
            self._unplanned[request_id] = None
            self._num_unplanned += 1
            return
        tag = self._tag_of(request)
        self._names[request_id] = tag.name
        self._planner.admit(replace(tag.request, request_id=request_id, num_prompt_tokens=request.num_prompt_tokens))
        if num_cached := self.num_cached_tokens(request):
            self._cached[request_id] = num_cached
            self._planner.find_cached(request_id, num_cached)

    def _tag_of(self, request: EngineRecord) -> RequestTag:
        """Return what came with a request, or what is promised to one with which nothing came that can be read."""
        name = request.request_id
        try:
            return read_record(RequestTag, (request.sampling_params.extra_args or {}).get(KEY))
        except JsonRecordError:
            unpromised = Request(name, _UNPROMISED, self._clock.now(), request.num_prompt_tokens, request.max_tokens)
            return RequestTag(unpromised, name)

    def _obey(self, order: Order) -> None:
        match order:
            case Reschedule(scheduler=asked):
                settings = self._bounded(asked)
                policy = build_policy(settings, self._predictor)
                self._scheduler.adopt(policy, max_num_seqs=settings.max_num_seqs)
            case BeginAnew():
                self._postponed = order
            case HandBack():
                for request_id in self._planner.unstarted():
                    request = self.requests[request_id]
                    self.finish_requests(request_id, type(request.status).FINISHED_ABORTED)
                    self._handed_back.append(request)

    def _note_relegated(self, relegated: Iterable[str]) -> None:
        for request_id in relegated:
            request = self.requests[request_id]
            is_before = request.num_tokens == request.num_prompt_tokens
            self._outbox.append(RelegatedName(self._names[request_id], before_first_token=is_before))

    def _preempt(self, preempted: Iterable[str], now: float) -> None:
        """Take the KV of those whom the plan has chosen for it."""
        self._is_preempting = True
        for request_id in preempted:
            request = self.requests[request_id]
            self.running.remove(request)
            self._preempt_request(request, now)
        self._is_preempting = False

    def _arrange(self, step: _Step) -> list[Any]:
        """Put who runs and who waits into the order of a plan, and set its budget; return who is held for the step."""
        limits, num_planned = step.limits, step.plan.shape.num_tokens
        if not limits and not self._unplanned and len(self.running) == len(step.plan.decodes):
            # Everybody decodes: there is nothing to put in order.
            self.waiting.offer(())
            self.max_num_scheduled_tokens = min(num_planned, self._most_tokens)
            return []
        decodes = frozenset(step.plan.decodes)
        first: list[Any] = []
        held: list[Any] = []
        begun: dict[str, Any] = {}
        num_beside = 0
        for request in self.running:
            request_id = request.request_id
            if request_id in decodes:
                first.append(request)
            elif request_id in limits:
                begun[request_id] = request
            elif request_id in self._unplanned:
                first.append(request)
                num_beside += request.num_tokens - request.num_computed_tokens
            else:
                held.append(request)
        self.running = first + [begun[request_id] for request_id in limits if request_id in begun]
        step.beginning = tuple([request_id for request_id in limits if request_id not in begun])
        beside = [self.requests[request_id] for request_id in self._unplanned]
        num_beside += sum([request.num_tokens for request in beside if request in self.waiting])
        self.waiting.offer([*(self.requests[request_id] for request_id in step.beginning), *beside])
        self.max_num_scheduled_tokens = min(num_planned + num_beside, self._most_tokens)
        return held

    def _note_cached(self, step: _Step, scheduled: Mapping[str, int]) -> None:
        """Tell the planner what prefills that begin found in the KV cache, where that is not what was known."""
        for request_id in step.beginning:
            if request_id in scheduled:
                found = self.requests[request_id].num_computed_tokens - scheduled[request_id]
                if found != self._cached.get(request_id, 0):
                    self._cached[request_id] = found
                    self._planner.find_cached(request_id, found)

    def _record_under_way(self, now: float) -> None:
        """Record steps that run, so that the next is planned behind them: all that is missing is how long they take."""
        for step in self._under_way:
            if step.has_work and not step.is_recorded:
                step.is_recorded = True
                self._planner.record(step.executed, max(now, step.started + step.plan.predicted_seconds))

    def _complete(self, step: _Step | None) -> None:
        """Record a step that has run, or how long it took, and let go of answers that ended with it."""
        if step is not None:
            self._take_in(step)
        for request_id in self._finished:
            self._planner.finish(request_id)
        self._finished.clear()

    def _take_in(self, step: _Step) -> None:
        now = self._clock.now()
        # 0 would stand for a time that is not known.
        seconds = max(now - max(step.started, self._busy_since), _LEAST_SECONDS)
        executed = replace(step.executed, seconds=seconds)
        if step.is_recorded:
            self._planner.learn(time_of(step.plan, executed))
        elif step.has_work:
            self._planner.record(executed, now)
        self._busy_since = now if step.has_work else 0.0

    def _keep_record(self, record: IterationRecord) -> None:
        self._outbox.append(record)

    def _report(self) -> None:
        """Send what there is to tell, and how loaded the engine is if that was not told for a while or nothing runs."""
        now = self._clock.now()
        if now - self._reported_at >= _LOAD_PERIOD_SECONDS or not len(self._planner):
            self._reported_at = now
            self._outbox.append(self._load(now))
        if self._outbox:
            self._channel.send(self._outbox)
            self._outbox = []

    def _load(self, now: float) -> EngineLoad:
        planner = self._planner
        return EngineLoad(
            classes=dict(planner.class_loads()),
            tightest_slack=planner.tightest_slack(now),
            prefill_tokens_per_second=planner.rates.prefill_rate,
            iteration_seconds=planner.rates.iteration_time,
            kv_used_tokens=self.kv_used_tokens(),
            kv_free_tokens=self.kv_free_tokens(),
            draining=False,
            num_unplanned=self._num_unplanned,
            num_unreported=self._channel.num_dropped,
        )


def _executed(plan: IterationPlan, scheduled: Mapping[str, int]) -> ExecutedIteration:
    """Return what the engine runs of a plan, its time still missing."""
    if not plan.chunks and len(scheduled) == len(plan.decodes):
        return ExecutedIteration(plan.decodes, (), 0.0, len(scheduled) >= plan.token_budget)
    chunks = tuple(
        [Chunk(chunk.request_id, scheduled[chunk.request_id]) for chunk in plan.chunks if chunk.request_id in scheduled]
    )
    ran = plan.decodes
    if len(scheduled) < len(ran) + len(chunks):
        ran = tuple([request_id for request_id in ran if request_id in scheduled])
    num_tokens = len(ran) + sum([chunk.num_tokens for chunk in chunks])
    return ExecutedIteration(ran, chunks, 0.0, num_tokens >= plan.token_budget)
