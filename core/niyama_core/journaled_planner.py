"""A planner that keeps a journal: it plans as the one inside it does, and tells a sink of every iteration."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from niyama_core.journal import (
    Aborted,
    Admitted,
    Event,
    Finished,
    FoundCached,
    IterationRecord,
    Learned,
    LostKv,
    Planned,
    Relegated,
)
from niyama_core.load import ClassLoad
from niyama_core.plan import ExecutedIteration, IterationPlan, IterationTime
from niyama_core.planner import Planner
from niyama_core.rates import MeasuredRates
from niyama_core.request import Request

__all__ = ["JournaledPlanner"]


class JournaledPlanner:
    """Plans as another planner does, and gives a record of each iteration that was run to a sink.

    Args:
        planner: decides; to be told of everything through this object from now on.
        sink: takes each record when its iteration has been recorded; called on the thread that records.
    """

    def __init__(self, planner: Planner, sink: Callable[[IterationRecord], None]) -> None:
        """Start with an empty page."""
        self._planner = planner
        self._sink = sink
        self._index = 0
        self._before: list[Event] = []
        self._during: list[Event] = []
        self._pending: tuple[float, int, IterationPlan] | None = None
        self._untimed: deque[IterationRecord] = deque()

    def __len__(self) -> int:
        """Return how many requests are live."""
        return len(self._planner)

    def __contains__(self, request_id: str) -> bool:
        """Return whether a request is live."""
        return request_id in self._planner

    @property
    def rates(self) -> MeasuredRates:
        """What the replica has measured of its own speed."""
        return self._planner.rates

    def admit(self, request: Request) -> None:
        """Take a request on.

        Raises:
            ValueError: a live request has the same id.
        """
        self._planner.admit(request)
        self._during.append(Admitted(request))

    def plan(self, now: float, kv_free_tokens: int) -> IterationPlan:
        """Decide the next iteration."""
        plan = self._planner.plan(now, kv_free_tokens)
        self._turn_page()
        self._pending = now, kv_free_tokens, plan
        return plan

    def record(self, executed: ExecutedIteration, now: float) -> tuple[str, ...]:
        """Take in what ran until `now`; return the requests that have one more output token.

        Raises:
            ValueError: nothing was planned since the last iteration was recorded.
        """
        if self._pending is None:
            raise ValueError("an iteration was recorded that was not planned")
        planned_at, kv_free_tokens, plan = self._pending
        emitted = self._planner.record(executed, now)
        record = IterationRecord(
            index=self._index,
            before=tuple(self._before),
            now=planned_at,
            kv_free_tokens=kv_free_tokens,
            plan=plan,
            during=tuple(self._during),
            seconds=executed.seconds,
            ended=now,
            deviation=None if executed.seconds and executed == plan.executed(executed.seconds) else executed,
        )
        self._index += 1
        self._pending = None
        self._before, self._during = [], []
        if executed.seconds:
            self._sink(record)
        else:
            self._untimed.append(record)
        return emitted

    def learn(self, time: IterationTime) -> None:
        """Take in how long an iteration took that was recorded before that was known; its record is complete now.

        Raises:
            IndexError: there is no such iteration.
        """
        self._planner.learn(time)
        self._during.append(Learned(time))
        self._sink(replace(self._untimed.popleft(), seconds=time.seconds))

    def finish(self, request_id: str) -> None:
        """Let go of a request whose answer has ended by itself, and remember its length."""
        self._planner.finish(request_id)
        self._during.append(Finished(request_id))

    def abort(self, request_id: str) -> bool:
        """Let go of a request in whatever state; return whether it was live."""
        was_live = self._planner.abort(request_id)
        if was_live:
            self._during.append(Aborted(request_id))
        return was_live

    def relegate(self, request_id: str) -> None:
        """Put a live request behind all that can be on time."""
        self._planner.relegate(request_id)
        self._during.append(Relegated(request_id))

    def find_cached(self, request_id: str, num_tokens: int) -> None:
        """Count tokens of a prefill that the KV cache holds already as done."""
        self._planner.find_cached(request_id, num_tokens)
        self._during.append(FoundCached(request_id, num_tokens))

    def lose_kv(self, request_id: str) -> None:
        """Let a request start again whose KV the engine has taken."""
        self._planner.lose_kv(request_id)
        self._during.append(LostKv(request_id))

    def unstarted(self) -> tuple[str, ...]:
        """Return the requests of which nothing has been computed, in order of admission."""
        return self._planner.unstarted()

    def is_relegated(self, request_id: str) -> bool:
        """Return whether a live request is relegated."""
        return self._planner.is_relegated(request_id)

    def class_loads(self) -> Mapping[str, ClassLoad]:
        """Return the load by class, for the replica's report."""
        return self._planner.class_loads()

    def tightest_slack(self, now: float) -> float | None:
        """Return the seconds until the most urgent token is due, or None when none constrains."""
        return self._planner.tightest_slack(now)

    def _turn_page(self) -> None:
        """Move what was told since the last plan before the next one, and so that plan itself if it left a mark."""
        if self._pending is not None:
            now, kv_free_tokens, plan = self._pending
            if plan.relegated or plan.preempted:
                self._before.append(Planned(now, kv_free_tokens))
        self._before += self._during
        self._during = []
