"""An engine without a GPU: iterations take as long as a latency profile says, tokens are hashes.

It is shipped, as the default of `niyama up`, and is no test double: planner, streams, KV accounting, cancellation and
drain are those of a real replica; only the model is missing. All that it says of itself says `paced`.

One task runs the iterations: plan, wait as long as the law says, record, emit. Requests come and go between and
during iterations; the planner passes over those that have gone.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace

from niyama_core.journal import IterationRecord
from niyama_core.journaled_planner import JournaledPlanner
from niyama_core.plan import IterationPlan
from niyama_core.planner import IterationPlanner
from niyama_core.policies import Policy, SchedulerSettings, build_policy, build_predictor
from niyama_core.profiles import LatencyProfile
from niyama_runtime.clock import Clock

from niyama_agent.engine import (
    Aborted,
    AbortReason,
    Admitted,
    DrainCounts,
    DuplicateRequestError,
    EngineDiedError,
    EngineEvent,
    EngineFacts,
    EngineLoad,
    EngineRequest,
    Finished,
    FinishReason,
    HandBackReason,
    HandedBack,
    LastEvent,
    Relegated,
)
from niyama_agent.kv_ledger import KvLedger
from niyama_agent.pace import Pace
from niyama_agent.paced_tokens import TokenChain, natural_length, text_of
from niyama_agent.token_stream import TokenStream
from niyama_agent.tokenizer import ByteTokenizer

__all__ = ["PacedEngine", "PacedSettings"]

# How long an engine waits that has requests and cannot run any of them.
_RETRY_SECONDS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedSettings:
    """A paced engine.

    Attributes:
        profile: law, predictor and sizes.
        speed: how many times as fast as the profile.
        noise: standard deviation of the logarithm of the factor on iteration times.
        seed: of the noise.
        replay: whether requests may say how long their answer is.
        scheduler: the policy and its settings.
    """

    profile: LatencyProfile
    speed: float = 1.0
    noise: float = 0.0
    seed: int = 0
    replay: bool = False
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)


@dataclass(slots=True, eq=False)
class _Answer:
    """A request as only the engine knows it: how long its answer will be, and who reads it."""

    chain: TokenChain
    stream: TokenStream
    num_emitted: int
    length: int
    reason: FinishReason

    def emit(self, now: float) -> bool:
        """Emit the next token; return whether it was the last."""
        token_id = self.chain.next_token()
        self.stream.put((token_id,), text_of((token_id,)), emitted_at=now)
        self.num_emitted += 1
        return self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether all its tokens have been emitted."""
        return self.num_emitted >= self.length

    def finished(self) -> Finished:
        """Return the event that ends it."""
        return Finished(self.reason, self.num_emitted)


class PacedEngine:
    """Runs a planner's plans in the time that a law says.

    Args:
        settings: of the engine.
        clock: what it waits by.
        on_iteration: takes the record of each iteration; must be quick, for tokens wait for it.
    """

    def __init__(
        self, settings: PacedSettings, clock: Clock, *, on_iteration: Callable[[IterationRecord], None]
    ) -> None:
        """Start without requests; nothing runs before `run`."""
        profile = settings.profile.at_speed(settings.speed)
        self._settings = settings
        self._clock = clock
        self._predictor = build_predictor(settings.scheduler, profile.predictor)
        self._scheduler = IterationPlanner(
            self._policy(), self._predictor, max_num_seqs=settings.scheduler.max_num_seqs
        )
        self._planner = JournaledPlanner(self._scheduler, on_iteration)
        self._kv = KvLedger(profile.kv_capacity_tokens)
        self._pace = Pace(profile.law, noise=settings.noise, seed=settings.seed)
        self._answers: dict[str, _Answer] = {}
        self._work = asyncio.Event()
        self._draining = False
        self._dead: EngineDiedError | None = None
        self.tokenizer = ByteTokenizer()
        """The stand-in: there is no model that could bring one."""

    @property
    def facts(self) -> EngineFacts:
        """What the engine is."""
        settings = self._settings
        return EngineFacts(
            name="paced",
            version="1",
            profile=settings.profile.name,
            scheduler=settings.scheduler,
            context_tokens=settings.profile.context_tokens,
            kv_capacity_tokens=settings.profile.kv_capacity_tokens,
            replay=settings.replay,
        )

    async def start(self) -> None:
        """Be ready at once: there is nothing to load."""

    async def run(self) -> None:
        """Run iterations until cancelled. However it ends, readers are told."""
        try:
            while True:
                await self._iterate()
        finally:
            self._dead = EngineDiedError("the engine has stopped")
            for answer in self._answers.values():
                answer.stream.fail(self._dead)

    async def generate(self, request: EngineRequest) -> AsyncGenerator[EngineEvent, None]:
        """Yield the events of a request. Closing it frees all that it holds.

        Raises:
            DuplicateRequestError: a live request has the same id.
            EngineDiedError: the engine has ended.
        """
        if self._draining:
            yield HandedBack(HandBackReason.DRAINING)
            return
        answer = _answer(request)
        if answer.is_whole:
            # The stream broke between the last token and the word that it was the last.
            yield Admitted()
            yield answer.finished()
            return
        self._admit(request, answer)
        try:
            while True:
                event = await answer.stream.next_event()
                yield event
                if isinstance(event, LastEvent):
                    return
        finally:
            if self._answers.get(request.request.request_id) is answer:
                self._let_go(request.request.request_id)

    async def abort(self, request_id: str, reason: AbortReason) -> bool:
        """End a request in whatever state; return whether it was live."""
        if request_id not in self._answers:
            return False
        self._let_go(request_id).stream.end(Aborted(reason))
        return True

    def load(self, now: float) -> EngineLoad:
        """Return how loaded the engine is."""
        planner = self._planner
        return EngineLoad(
            classes=planner.class_loads(),
            tightest_slack=planner.tightest_slack(now),
            prefill_tokens_per_second=planner.rates.prefill_rate,
            iteration_seconds=planner.rates.iteration_time,
            kv_used_tokens=self._kv.used_tokens,
            kv_free_tokens=self._kv.free_tokens,
            draining=self._draining,
        )

    def drain(self) -> DrainCounts:
        """Take nothing new, hand back what has not begun, let the rest run on."""
        self._draining = True
        unstarted = self._planner.unstarted()
        for request_id in unstarted:
            self._let_go(request_id).stream.end(HandedBack(HandBackReason.DRAINING))
        return DrainCounts(len(unstarted), len(self._answers))

    def reschedule(self, scheduler: SchedulerSettings) -> None:
        """Schedule by other settings from the next iteration on; what has been computed stays."""
        self._settings = replace(self._settings, scheduler=scheduler)
        self._scheduler.adopt(self._policy(), max_num_seqs=scheduler.max_num_seqs)

    def _policy(self) -> Policy:
        """Return the policy, which follows the speed of the machine as the profile does."""
        return build_policy(self._settings.scheduler, self._predictor).at_speed(self._settings.speed)

    def _admit(self, request: EngineRequest, answer: _Answer) -> None:
        request_id = request.request.request_id
        if self._dead is not None:
            raise self._dead
        if request_id in self._answers:
            raise DuplicateRequestError(f"request {request_id!r} is live already")
        self._planner.admit(request.request)
        self._kv.open(request_id)
        self._answers[request_id] = answer
        answer.stream.notify(Admitted())
        self._work.set()

    def _let_go(self, request_id: str) -> _Answer:
        """Forget a request whose answer has not ended, and free its KV."""
        self._planner.abort(request_id)
        return self._close(request_id)

    def _close(self, request_id: str) -> _Answer:
        self._kv.close(request_id)
        return self._answers.pop(request_id)

    async def _iterate(self) -> None:
        """Run one iteration, or wait until there may be something to run."""
        if not self._answers:
            self._pace.rest()
            self._work.clear()
            await self._work.wait()
        now = self._clock.now()
        plan = self._planner.plan(now, self._kv.free_tokens)
        self._kv.note_plan()
        self._apply(plan)
        if plan.is_empty:
            self._pace.rest()
            await self._clock.sleep_until(now + _RETRY_SECONDS)
            return
        seconds, ends = self._pace.run(plan.shape, now)
        await self._clock.sleep_until(ends)
        self._complete(plan, seconds)

    def _apply(self, plan: IterationPlan) -> None:
        """Do what a plan decides beside its batch."""
        for request_id in plan.preempted:
            self._kv.empty(request_id)
        for request_id in plan.relegated:
            answer = self._answers[request_id]
            answer.stream.notify(Relegated(before_first_token=answer.num_emitted == 0))

    def _complete(self, plan: IterationPlan, seconds: float) -> None:
        """Take in an iteration that has run, and emit its tokens."""
        executed = plan.executed(seconds)
        emitted = self._planner.record(executed, self._clock.now())
        self._kv.hold(executed)
        now = self._clock.now()
        for request_id in emitted:
            if self._answers[request_id].emit(now):
                self._planner.finish(request_id)
                answer = self._close(request_id)
                answer.stream.end(answer.finished())


def _answer(request: EngineRequest) -> _Answer:
    """Return the answer to a request, as far as it is known."""
    num_emitted = len(request.emitted_token_ids)
    cap = num_emitted + request.request.max_output_tokens
    natural = request.replay_output_tokens or natural_length(request.prompt_token_ids)
    return _Answer(
        chain=TokenChain(request.prompt_token_ids, request.emitted_token_ids),
        stream=TokenStream(num_emitted),
        num_emitted=num_emitted,
        length=min(cap, natural),
        reason=FinishReason.LENGTH if natural > cap else FinishReason.STOP,
    )
