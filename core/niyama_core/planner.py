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

from collections.abc import Iterator, Mapping
from typing import Protocol

from niyama_core.decodes import DecodeSet, DecodeSurvey
from niyama_core.demand import DemandCurve
from niyama_core.draft import Draft
from niyama_core.latency import LatencyModel
from niyama_core.load import ClassLoad
from niyama_core.output_length import OutputLengthHistory
from niyama_core.plan import ExecutedIteration, IterationPlan
from niyama_core.policies import Policy
from niyama_core.prefill_queue import PrefillQueue
from niyama_core.rates import MeasuredRates
from niyama_core.relegation import Outlook
from niyama_core.request import LiveRequest, Request
from niyama_core.tally import class_loads

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

    def finish(self, request_id: str) -> None:
        """Let go of a request whose answer has ended by itself."""
        ...

    def abort(self, request_id: str) -> bool:
        """Let go of a request in whatever state; return whether it was live."""
        ...

    def relegate(self, request_id: str) -> None:
        """Put a live request behind all that can be on time."""
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
        predictor: expected time of an iteration.
        max_num_seqs: the most requests that hold KV at once.
    """

    def __init__(self, policy: Policy, predictor: LatencyModel, *, max_num_seqs: int = 1000) -> None:
        """Start idle."""
        self._policy = policy
        self._predictor = predictor
        self._max_num_seqs = max_num_seqs
        self._live: dict[str, LiveRequest] = {}
        self._waiting = PrefillQueue(policy.priority.key)
        self._relegated = PrefillQueue(_relegated_key)
        self._started: dict[str, LiveRequest] = {}
        self._decodes = DecodeSet(predictor)
        self._important_demand = DemandCurve()
        self._lengths = OutputLengthHistory()
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
        live = LiveRequest(request, expected, expected * self.rates.iteration_time)
        self._live[request.request_id] = live
        self._enqueue(live)

    def plan(self, now: float, kv_free_tokens: int) -> IterationPlan:
        """Decide the next iteration.

        Args:
            now: the instant.
            kv_free_tokens: tokens that the KV cache can still hold.
        """
        preempted = self._make_room(kv_free_tokens)
        kv_free_tokens += sum(kv for _, kv in preempted)
        survey = self._decodes.survey(now)
        budget = self._policy.chunking.token_budget(
            survey.shape, survey.slack, prefill_context_tokens=self._next_context_tokens()
        )
        draft = self._draft(survey, token_budget=budget, kv_free_tokens=kv_free_tokens)
        relegated = self._fill(draft, now)
        shape = draft.shape()
        empty = not shape.num_decodes and not shape.prefill_tokens
        return IterationPlan(
            decodes=self._decodes.ids(),
            chunks=tuple(draft.chunks),
            relegated=relegated,
            preempted=tuple(request_id for request_id, _ in preempted),
            shape=shape,
            slack=survey.slack,
            token_budget=budget,
            predicted_seconds=0.0 if empty else self._predictor.iteration_time(shape),
        )

    def record(self, executed: ExecutedIteration, now: float) -> tuple[str, ...]:
        """Take in what ran until `now`; return the requests that have one more output token.

        Requests that were finished or aborted while the iteration ran are passed over.
        """
        emitted = []
        for request_id in executed.decodes:
            if (live := self._live.get(request_id)) is not None:
                live.advance_decode(now)
                emitted.append(request_id)
        emitted.extend(
            chunk.request_id
            for chunk in executed.chunks
            if (live := self._live.get(chunk.request_id)) is not None and self._advance(live, chunk.num_tokens, now=now)
        )
        prefill_tokens = sum(chunk.num_tokens for chunk in executed.chunks)
        self.rates.observe(prefill_tokens, executed.seconds, budget_spent=executed.budget_spent)
        return tuple(emitted)

    def finish(self, request_id: str) -> None:
        """Let go of a request whose answer has ended by itself, and remember its length."""
        live = self._live[request_id]
        self._lengths.record(_history_of(live.request), live.emitted)
        self.abort(request_id)

    def abort(self, request_id: str) -> bool:
        """Let go of a request in whatever state; return whether it was live."""
        live = self._live.pop(request_id, None)
        if live is None:
            return False
        self._dequeue(live)
        self._decodes.remove(live)
        return True

    def relegate(self, request_id: str) -> None:
        """Put a live request behind all that can be on time."""
        self._relegate(self._live[request_id])

    def unstarted(self) -> tuple[str, ...]:
        """Return the requests of which nothing has been computed, in order of admission."""
        return tuple(i for i, live in self._live.items() if not live.has_started and not live.emitted)

    def is_relegated(self, request_id: str) -> bool:
        """Return whether a live request is relegated."""
        return self._live[request_id].relegated

    def class_loads(self) -> Mapping[str, ClassLoad]:
        """Return the load by class, for the replica's report."""
        return class_loads(self._live.values())

    def tightest_slack(self, now: float) -> float | None:
        """Return the seconds until the most urgent token is due, or None when none constrains."""
        slack = self._decodes.survey(now).slack
        return slack if slack != float("inf") else None

    def _draft(self, survey: DecodeSurvey, *, token_budget: int, kv_free_tokens: int) -> Draft:
        started_growth = sum(live.prefill_remaining + live.output_remaining for live in self._started.values())
        return Draft(
            survey,
            token_budget=token_budget,
            kv_free_tokens=kv_free_tokens,
            started_growth_tokens=started_growth,
            new_sequences=self._max_num_seqs - len(self._decodes) - len(self._started),
        )

    def _fill(self, draft: Draft, now: float) -> tuple[str, ...]:
        """Spend the budget on prefills; return the requests that were relegated on the way."""
        outlook = Outlook(now, self.rates.prefill_rate, self._important_demand)
        for live in self._endangered(outlook):
            if draft.has_room:
                draft.take(live)
        relegated = self._fill_in_order(draft, outlook)
        self._fill_from(self._relegated, draft)
        return relegated

    def _fill_in_order(self, draft: Draft, outlook: Outlook) -> tuple[str, ...]:
        """Spend the budget on those that can be on time; relegate those at the head that cannot."""
        relegated, looked_at = [], []
        while draft.has_room and (live := self._waiting.peek()) is not None:
            if not live.has_started and self._policy.relegation.relegates(live, outlook):
                self._relegate(live)
                relegated.append(live.request.request_id)
                continue
            looked_at.append(self._waiting.pop_entry())
            if not draft.holds(live) and not draft.take(live):
                break
        for entry in looked_at:
            self._waiting.push_back(entry)
        return tuple(relegated)

    def _fill_from(self, queue: PrefillQueue, draft: Draft) -> None:
        """Spend what is left of the budget on a queue, in its order."""
        looked_at = []
        while draft.has_room and (live := queue.peek()) is not None:
            looked_at.append(queue.pop_entry())
            if not draft.take(live):
                break
        for entry in looked_at:
            queue.push_back(entry)

    def _endangered(self, outlook: Outlook) -> Iterator[LiveRequest]:
        """Yield begun prefills that make it at once but not an iteration later: who displaces them lets them pass."""
        if not self._policy.selective_preemption:
            return
        for live in self._started.values():
            done = outlook.now + outlook.seconds_to_prefill(live)
            if not live.relegated and done <= live.prefill_due < done + self.rates.iteration_time:
                yield live

    def _advance(self, live: LiveRequest, num_tokens: int, *, now: float) -> bool:
        """Count a computed chunk; return whether the request now decodes."""
        if live.is_important and not live.relegated:
            self._important_demand.add(live, -num_tokens)
        if not live.advance_prefill(num_tokens, now):
            self._started[live.request.request_id] = live
            self._queue_of(live).put(live)
            return False
        self._queue_of(live).remove(live)
        self._started.pop(live.request.request_id, None)
        self._decodes.add(live)
        return True

    def _relegate(self, live: LiveRequest) -> None:
        waited = self._dequeue(live)
        live.relegate()
        if waited:
            self._enqueue(live)

    def _enqueue(self, live: LiveRequest) -> None:
        self._queue_of(live).put(live)
        if live.is_important and not live.relegated:
            self._important_demand.add(live, live.prefill_remaining)
        if live.has_started:
            self._started[live.request.request_id] = live

    def _dequeue(self, live: LiveRequest) -> bool:
        """Take a request out of its queue; return whether it was in one."""
        if not self._queue_of(live).remove(live):
            return False
        if live.is_important and not live.relegated:
            self._important_demand.add(live, -live.prefill_remaining)
        self._started.pop(live.request.request_id, None)
        return True

    def _queue_of(self, live: LiveRequest) -> PrefillQueue:
        return self._relegated if live.relegated else self._waiting

    def _next_context_tokens(self) -> int:
        live = self._waiting.peek() or self._relegated.peek()
        return live.prefilled if live is not None else 0

    def _make_room(self, kv_free_tokens: int) -> list[tuple[str, int]]:
        """Preempt the least urgent while the decodes' next tokens do not fit; return who lost how many tokens of KV."""
        preempted: list[tuple[str, int]] = []
        while kv_free_tokens < (len(self._decodes) or bool(self._started)):
            victim = max((*self._decodes, *self._started.values()), key=_least_urgent)
            freed = victim.context_tokens
            self._dequeue(victim)
            self._decodes.remove(victim)
            victim.lose_kv()
            self._enqueue(victim)
            preempted.append((victim.request.request_id, freed))
            kv_free_tokens += freed
        return preempted


def _history_of(request: Request) -> str:
    """Return under which name the lengths of a request's answers are remembered."""
    return request.app or request.promise.qos_class


def _relegated_key(live: LiveRequest) -> tuple[bool, bool, float]:
    """Order relegated requests: begun ones hold KV and go first, then the important, then who came first."""
    return not live.has_started, not live.is_important, live.request.arrival


def _least_urgent(live: LiveRequest) -> tuple[bool, bool, float]:
    """Order requests by how little is lost when they give up their KV."""
    return live.relegated, not live.is_important, live.due
