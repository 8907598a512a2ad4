"""A planner under everything that may happen to it, in any order; found by hypothesis as a state machine.

Requests come, leave and come again under the same id, at any moment, also while an iteration runs; iterations are
planned twice, run in part or not at all; memory is tight. At every step the replica's own accounts must agree with the
planner, at the end nothing may be left, and the journal must replay to the same plans.
"""

import json
import math
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from niyama_core.journal import IterationRecord
from niyama_core.journaled_planner import JournaledPlanner
from niyama_core.plan import Chunk, ExecutedIteration, IterationPlan
from niyama_core.policies import POLICIES
from niyama_core.replay import replay
from niyama_core.request import Request

from tests.builders import a_planner
from tests.core.fake_replica import FakeReplica
from tests.core.workloads import expect_short_answers, requests

KV_TOKENS = 600
NAMES = [f"r{index}" for index in range(12)]
IDS = st.sampled_from(NAMES)


class PlannerMachine(RuleBasedStateMachine):
    """One replica, and a person who does to it what comes to mind."""

    @initialize(policy=st.sampled_from(sorted(POLICIES)), misleading=st.booleans())
    def begin(self, policy: str, misleading: bool) -> None:
        self.policy = policy
        self.planner = a_planner(policy, max_num_seqs=4)
        self.records: list[IterationRecord] = []
        self.replica = FakeReplica(JournaledPlanner(self.planner, self.records.append), kv_tokens=KV_TOKENS)
        self.pending: IterationPlan | None = None
        if misleading:
            expect_short_answers(self.replica)

    @rule(some=st.lists(st.tuples(requests(), st.integers(1, 250)), min_size=1, max_size=6))
    def submit(self, some: list[tuple[Request, int]]) -> None:
        free = (name for name in NAMES if name not in self.replica.live)
        for (request, output), request_id in zip(some, free, strict=False):
            self._submit(request, request_id, output=output)

    @rule(request_id=IDS)
    def abort(self, request_id: str) -> None:
        if request_id in self.replica.live:
            self.replica.abort(request_id)
        assert not self.replica.planner.abort(request_id)

    @precondition(lambda self: self.pending)
    @rule(request=requests(), output=st.integers(1, 250))
    def leave_and_come_again_meanwhile(self, request: Request, output: int) -> None:
        assert self.pending is not None
        planned = {*self.pending.decodes, *(chunk.request_id for chunk in self.pending.chunks)}
        for request_id in planned & self.replica.live.keys():
            self.abort(request_id)
            self._submit(request, request_id, output=output)

    @rule(request_id=IDS)
    def relegate(self, request_id: str) -> None:
        if request_id in self.replica.live:
            self.replica.planner.relegate(request_id)
            assert self.replica.planner.is_relegated(request_id)

    @rule()
    def plan(self) -> None:
        self.pending = self.replica.plan()

    @rule()
    def plan_twice(self) -> None:
        first = self.replica.plan()
        self.pending = self.replica.plan()
        assert self.pending == replace(first, relegated=(), preempted=())

    @precondition(lambda self: self.pending)
    @rule()
    def run(self) -> None:
        self.replica.run(self._take_pending())

    @precondition(lambda self: self.pending and not self.pending.is_empty)
    @rule(share=st.floats(0, 1))
    def run_in_part(self, share: float) -> None:
        plan = self._take_pending()
        decodes = plan.decodes[: math.floor(share * len(plan.decodes))]
        chunks = [Chunk(chunk.request_id, math.floor(share * chunk.num_tokens)) for chunk in plan.chunks]
        done = tuple(chunk for chunk in chunks if chunk.num_tokens)
        self.replica.run(plan, ExecutedIteration(decodes, done, seconds=0.02, budget_spent=False))

    @rule(num_steps=st.integers(1, 30))
    def go_on(self, num_steps: int) -> None:
        for _ in range(num_steps):
            self.replica.step()
        self.pending = None

    def teardown(self) -> None:
        if not hasattr(self, "replica"):
            return
        self.replica.run_until_idle(max_steps=20_000)
        self._check_nothing_is_left()
        lines = [json.dumps(record.to_json_dict()) for record in self.records]
        records = [IterationRecord.from_json_dict(json.loads(line)) for line in lines]
        assert records == self.records
        assert list(replay(records, a_planner(self.policy, max_num_seqs=4))) == []

    def _submit(self, request: Request, request_id: str, *, output: int) -> None:
        self.replica.submit(replace(request, request_id=request_id, arrival=self.replica.now), output)

    def _take_pending(self) -> IterationPlan:
        assert self.pending is not None
        plan, self.pending = self.pending, None
        return plan

    def _check_nothing_is_left(self) -> None:
        planner, backlog = self.planner, self.planner._backlog
        assert (len(planner), planner.unstarted(), planner.class_loads()) == (0, (), {})
        assert planner.plan(self.replica.now, KV_TOKENS).is_empty
        assert (len(backlog.waiting), len(backlog.relegated), len(backlog.begun)) == (0, 0, 0)
        assert backlog.important_demand.margin(-1e9, tokens_per_second=1.0) == math.inf
        assert planner.tightest_slack(self.replica.now) is None


TestPlannerMachine = PlannerMachine.TestCase
TestPlannerMachine.settings = settings(stateful_step_count=30)
