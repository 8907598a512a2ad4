"""The planner of one replica: what runs in the next iteration.

An iteration holds every decode, one token each, and prefill up to a budget. The budget is the largest whose expected
time fits the tightest slack among the decodes; it is spent on waiting prefills in the order of the policy, begun
prefills that would miss by waiting one more iteration first. Who cannot be on time is relegated behind all who can,
and served with what is left.

The same object plans in production and in simulation. It holds no clock: whoever runs it says what time it is, runs
the plan, and reports what was done.

    planner.admit(request)                     # at any time
    plan = planner.plan(now, kv_free_tokens)   # once an iteration
    emitted = planner.record(plan.executed(seconds), now)
    planner.finish(request_id)                 # when an answer has ended
"""

import math
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Protocol

from niyama_core.backlog import Backlog
from niyama_core.calibration import CalibratedLatency
from niyama_core.decodes import DecodeSet, DecodeSurvey
from niyama_core.draft import Draft
from niyama_core.latency import LatencyModel
from niyama_core.load import ClassLoad
from niyama_core.output_length import OutputLengthHistory
from niyama_core.plan import Chunk, ExecutedIteration, IterationPlan, IterationTime
from niyama_core.policies import Policy
from niyama_core.rates import MeasuredRates
from niyama_core.relegation import Outlook
from niyama_core.request import LiveRequest, Request
from niyama_core.slo import Interactive
from niyama_core.tightest_ttft import TightestTtft

__all__ = ["IterationPlanner", "Planner"]


class Planner(Protocol):
    """What engines know of a planner, journaled or not; `IterationPlanner` says what each method does."""

    @property
    def rates(self) -> MeasuredRates:
        """What the replica has measured of its own speed."""
        ...

    def __len__(self) -> int:
        """Return how many requests are live."""
        ...

    def __contains__(self, request_id: str) -> bool:
        """Return whether a request is live."""
        ...

    def admit(self, request: Request) -> None:
        """Take a request on."""
        ...

    def plan(self, now: float, kv_free_tokens: int) -> IterationPlan:
        """Decide the next iteration."""
        ...

    def record(self, executed: ExecutedIteration, now: float) -> tuple[str, ...]:
        """Take in what ran; return the requests that have one more output token."""
        ...

    def learn(self, time: IterationTime) -> None:
        """Take in how long an iteration took that was recorded before that was known."""
        ...

    def finish(self, request_id: str) -> None:
        """Let go of a request whose answer has ended by itself."""
        ...

    def abort(self, request_id: str) -> bool:
        """Let go of a request in whatever state; return whether it was live."""
        ...

    def relegate(self, request_id: str) -> None:
        """Put a live request behind all that can be on time."""
        ...

    def find_cached(self, request_id: str, num_tokens: int) -> None:
        """Count tokens of a prefill that the KV cache holds already as done."""
        ...

    def lose_kv(self, request_id: str) -> None:
        """Let a request start again whose KV the engine has taken."""
        ...

    def unstarted(self) -> tuple[str, ...]:
        """Return the requests of which nothing has been computed."""
        ...

    def is_relegated(self, request_id: str) -> bool:
        """Return whether a live request is relegated."""
        ...

    def class_loads(self) -> Mapping[str, ClassLoad]:
        """Return the load by class."""
        ...

    def tightest_slack(self, now: float) -> float | None:
        """Return the seconds until the most urgent token is due, or None."""
        ...


class IterationPlanner:
    """Decides each iteration of one replica.

    Args:
        policy: order, budget and relegation.
        predictor: expected time of an iteration; one that calibrates itself is told of each that was run as planned.
        max_num_seqs: the most requests that hold KV at once.
    """

    def __init__(self, policy: Policy, predictor: LatencyModel, *, max_num_seqs: int = 1000) -> None:
        """Start idle."""
        self._policy = policy
        self._predictor = predictor
        self._calibration = predictor if isinstance(predictor, CalibratedLatency) else None
        self._latest_plan: IterationPlan | None = None
        self._max_num_seqs = max_num_seqs
        self._turns = count()
        self._live: dict[str, LiveRequest] = {}
        self._backlog = Backlog(policy.priority)
        self._decodes = DecodeSet(predictor)
        self._left_since_plan: set[str] = set()
        self._lengths = OutputLengthHistory()
        self._tightest_ttft = TightestTtft()
        self.rates = MeasuredRates(predictor)
        """What the replica has measured of its own speed."""

    def __len__(self) -> int:
        """Return how many requests are live."""
        return len(self._live)

    def __contains__(self, request_id: str) -> bool:
        """Return whether a request is live."""
        return request_id in self._live

    def admit(self, request: Request) -> None:
        """Take a request on.

        Raises:
            ValueError: a live request has the same id.
        """
        if request.request_id in self._live:
            raise ValueError(f"request_id {request.request_id!r} is live already: ids must be unique")
        expected = self._lengths.expected(_history_of(request), request.max_output_tokens)
        live = LiveRequest(request, expected, expected * self.rates.iteration_time, turn=next(self._turns))
        self._live[request.request_id] = live
        self._backlog.admit(live)
        if isinstance(request.promise.slo, Interactive):
            self._tightest_ttft.expect(request.promise.slo.ttft, request.arrival)

    def adopt(self, policy: Policy, *, max_num_seqs: int) -> None:
        """Plan by another policy from the next plan on; who is relegated stays so."""
        self._policy = policy
        self._max_num_seqs = max_num_seqs
        self._backlog.reorder(policy.priority)

    def plan(self, now: float, kv_free_tokens: int) -> IterationPlan:
        """Decide the next iteration.

        Who is relegated or preempted stays so, whether or not the plan is run; all else is as before until `record`.

        Args:
            now: the instant.
            kv_free_tokens: tokens that the KV cache can still hold, with room made by earlier plans.
        """
        self._left_since_plan.clear()
        preempted = self._make_room(kv_free_tokens)
        kv_free_tokens += sum([kv for _, kv in preempted])
        relegated: list[str] = []
        chunks: tuple[Chunk, ...] = ()
        if self._backlog.is_empty:
            survey = self._decodes.survey(now)
            shape, token_budget = survey.shape, self._token_budget(survey, now)
        else:
            self._backlog.adapt(self.rates.prefill_rate)
            outlook = Outlook(now, self.rates.prefill_rate, self.rates.iteration_time, self._backlog.important_demand)
            relegated = self._relegate_hopeless(outlook)
            survey = self._decodes.survey(now)
            draft = self._draft(survey, now, kv_free_tokens=kv_free_tokens)
            relegated += self._fill(draft, outlook)
            shape, token_budget, chunks = draft.shape(), draft.token_budget, tuple(draft.chunks)
        self._latest_plan = IterationPlan(
            decodes=self._decodes.ids(),
            chunks=chunks,
            relegated=tuple(relegated),
            preempted=tuple([request_id for request_id, _ in preempted]),
            shape=shape,
            slack=survey.slack,
            token_budget=token_budget,
            predicted_seconds=self._predictor.iteration_time(shape) if shape.num_tokens else 0.0,
        )
        return self._latest_plan

    def record(self, executed: ExecutedIteration, now: float) -> tuple[str, ...]:
        """Take in what ran until `now`; return the requests that have one more output token.

        What was computed for requests that have left since the plan is passed over, even if one with the same id has
        come since.
        """
        decoded = self._decodes.advance(executed.decodes)
        begun = []
        for chunk in executed.chunks:
            live = self._still_live(chunk.request_id)
            if live is not None and self._backlog.advance(live, chunk.num_tokens, now=now):
                self._decodes.add(live)
                begun.append(chunk.request_id)
        prefill_tokens = sum([chunk.num_tokens for chunk in executed.chunks])
        self.rates.observe(prefill_tokens, executed.seconds, budget_spent=executed.budget_spent)
        if self._calibration is not None:
            self._calibrate(self._calibration, executed)
        return (*decoded, *begun) if begun else decoded

    def learn(self, time: IterationTime) -> None:
        """Take in how long an iteration took that was recorded before that was known.

        The predictor learns of it unless something else was run than was planned: the shape of that is not known.
        """
        self.rates.observe(time.prefill_tokens, time.seconds, budget_spent=time.budget_spent)
        if self._calibration is not None and time.as_planned:
            self._calibration.observe(time.shape, time.seconds)

    def _calibrate(self, calibration: CalibratedLatency, executed: ExecutedIteration) -> None:
        """Let the predictor learn, unless something else was run than was planned: the shape of that is not known."""
        plan = self._latest_plan
        if plan is not None and plan.was_run_by(executed):
            calibration.observe(plan.shape, executed.seconds)

    def finish(self, request_id: str) -> None:
        """Let go of a request whose answer has ended by itself, and remember its length.

        Raises:
            KeyError: no such request is live.
        """
        live = self._live[request_id]
        self.abort(request_id)
        self._lengths.record(_history_of(live.request), live.emitted)

    def abort(self, request_id: str) -> bool:
        """Let go of a request in whatever state; return whether it was live."""
        live = self._live.pop(request_id, None)
        if live is None:
            return False
        self._backlog.remove(live)
        self._decodes.remove(live)
        self._left_since_plan.add(request_id)
        return True

    def relegate(self, request_id: str) -> None:
        """Put a live request behind all that can be on time.

        Raises:
            KeyError: no such request is live.
        """
        self._backlog.relegate(self._live[request_id])

    def find_cached(self, request_id: str, num_tokens: int) -> None:
        """Count the first tokens of a prefill as done that the KV cache holds already, instead of those known so far.

        Raises:
            KeyError: no such request is live.
        """
        self._backlog.find_cached(self._live[request_id], num_tokens)

    def lose_kv(self, request_id: str) -> None:
        """Let a request start its prefill again whose KV the engine has taken, beyond what was planned.

        Raises:
            KeyError: no such request is live.
        """
        self._start_again(self._live[request_id])

    def unstarted(self) -> tuple[str, ...]:
        """Return the requests of which nothing has been computed, in order of admission."""
        return tuple(request_id for request_id, live in self._live.items() if live.is_untouched)

    def is_relegated(self, request_id: str) -> bool:
        """Return whether a live request is relegated.

        Raises:
            KeyError: no such request is live.
        """
        return self._live[request_id].relegated

    def class_loads(self) -> Mapping[str, ClassLoad]:
        """Return the load by class, for the replica's report."""
        return self._backlog.tally.class_loads(self._decodes)

    def tightest_slack(self, now: float) -> float | None:
        """Return the seconds until the most urgent token is due, or None when none constrains."""
        slack = self._decodes.survey(now).slack
        return slack if slack != math.inf else None

    def _still_live(self, request_id: str) -> LiveRequest | None:
        """Return a request that was live at the plan and is yet."""
        return None if request_id in self._left_since_plan else self._live.get(request_id)

    def _token_budget(self, survey: DecodeSurvey, now: float) -> int:
        """Return the most tokens that the iteration may hold."""
        head = self._backlog.next()
        seconds = min(survey.slack, self._policy.patience * self._tightest_ttft.seconds(now))
        return self._policy.chunking.token_budget(
            survey.shape, seconds, prefill_context_tokens=head.prefill_context if head is not None else 0
        )

    def _draft(self, survey: DecodeSurvey, now: float, *, kv_free_tokens: int) -> Draft:
        """Begin an iteration: the decodes, and how much prefill may join them."""
        begun = self._backlog.begun
        return Draft(
            survey,
            token_budget=self._token_budget(survey, now),
            kv_free_tokens=kv_free_tokens,
            started_growth_tokens=sum([live.prefill_remaining + live.output_remaining for live in begun]),
            new_sequences=self._max_num_seqs - len(self._decodes) - len(begun),
        )

    def _fill(self, draft: Draft, outlook: Outlook) -> list[str]:
        """Spend the budget on prefills; return the requests that were relegated on the way."""
        for live in self._endangered(outlook):
            draft.take(live)
        relegated = []
        waiting = self._backlog.waiting
        while draft.is_open and (next_live := waiting.peek()) is not None:
            draft.take(next_live)
            waiting.skip()
            relegated += self._relegate_hopeless(outlook)
        waiting.rewind()
        self._fill_with_relegated(draft)
        if draft.has_room:
            for live in self._backlog.begun_in_order():
                draft.take(live)
        return relegated

    def _fill_with_relegated(self, draft: Draft) -> None:
        """Spend what is left of the budget on those that have been put behind."""
        queue = self._backlog.relegated
        while draft.is_open and (live := queue.peek()) is not None:
            draft.take(live)
            queue.skip()
        queue.rewind()

    def _relegate_hopeless(self, outlook: Outlook) -> list[str]:
        """Relegate who is next in line and cannot be on time, until one is that can; return who was."""
        relegated = []
        while (live := self._backlog.waiting.peek()) is not None and self._is_hopeless(live, outlook):
            self._backlog.relegate(live)
            relegated.append(live.request.request_id)
        return relegated

    def _is_hopeless(self, live: LiveRequest, outlook: Outlook) -> bool:
        return live.is_untouched and self._policy.relegation.relegates(live, outlook)

    def _endangered(self, outlook: Outlook) -> Iterator[LiveRequest]:
        """Yield begun prefills that make it at once but not an iteration later: who displaces them lets them pass."""
        if not self._policy.selective_preemption:
            return
        for live in self._backlog.begun:
            done = outlook.now + outlook.seconds_to_prefill(live)
            if not live.relegated and done <= live.prefill_due < done + self.rates.iteration_time:
                yield live

    def _make_room(self, kv_free_tokens: int) -> list[tuple[str, int]]:
        """Preempt the least urgent while the decodes' next tokens do not fit; return who lost how many tokens of KV."""
        preempted: list[tuple[str, int]] = []
        while kv_free_tokens < (len(self._decodes) or bool(self._backlog.begun)):
            victim = max((*self._decodes, *self._backlog.begun), key=_least_urgent)
            freed = victim.context_tokens
            self._start_again(victim)
            preempted.append((victim.request.request_id, freed))
            kv_free_tokens += freed
        return preempted

    def _start_again(self, live: LiveRequest) -> None:
        """Put a request that has lost its KV back among those that wait for their prefill."""
        self._backlog.remove(live)
        self._decodes.remove(live)
        live.lose_kv()
        self._backlog.put(live)


def _history_of(request: Request) -> str:
    """Return under which name the lengths of a request's answers are remembered."""
    return request.app or request.promise.qos_class


def _least_urgent(live: LiveRequest) -> tuple[bool, bool, float]:
    """Order requests by how little is lost when they give up their KV."""
    return live.relegated, not live.is_important, live.due
