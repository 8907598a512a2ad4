"""A replica without a GPU, a clock or a network: runs plans to the letter and holds the planner to what it must keep.

It keeps accounts of its own, apart from the planner's, and compares the two at every step: the KV cache never holds
more than it can, a request decodes only when all of its prompt has been computed, and every token is where it belongs.
"""

from dataclasses import dataclass, field

from niyama_core.latency import LatencyModel
from niyama_core.plan import ExecutedIteration, IterationPlan
from niyama_core.planner import Planner
from niyama_core.request import Request

from tests.builders import SteadyLaw


@dataclass(slots=True)
class Account:
    """What is really the case with a request."""

    request: Request
    true_output: int
    emitted: int = 0
    computed: int = 0
    to_compute: int = field(init=False)
    token_times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.to_compute = self.request.num_prompt_tokens

    @property
    def decodes(self) -> bool:
        return self.computed >= self.to_compute

    def lose_kv(self) -> None:
        self.computed = 0
        self.to_compute = self.request.num_prompt_tokens + self.emitted


class FakeReplica:
    """Runs a planner's plans; `now` is virtual."""

    def __init__(self, planner: Planner, *, kv_tokens: int = 100_000, law: LatencyModel | None = None) -> None:
        self.planner = planner
        self.kv_tokens = kv_tokens
        self.law = law or SteadyLaw()
        self.now = 0.0
        self.live: dict[str, Account] = {}
        self.done: dict[str, Account] = {}
        self.num_preemptions = 0
        self._in_flight: dict[str, Account] = {}

    @property
    def kv_free_tokens(self) -> int:
        return self.kv_tokens - sum(account.computed for account in self.live.values())

    def submit(self, request: Request, true_output: int) -> None:
        assert request.num_prompt_tokens + request.max_output_tokens <= self.kv_tokens
        assert true_output <= request.max_output_tokens
        self.planner.admit(request)
        self.live[request.request_id] = Account(request, true_output)

    def abort(self, request_id: str) -> None:
        assert self.planner.abort(request_id)
        del self.live[request_id]

    def plan(self) -> IterationPlan:
        """Plan, free what is preempted, and check the plan against the accounts."""
        plan = self.planner.plan(self.now, self.kv_free_tokens)
        for request_id in plan.preempted:
            self.live[request_id].lose_kv()
            self.num_preemptions += 1
        self._check(plan)
        batch = (*plan.decodes, *(chunk.request_id for chunk in plan.chunks))
        self._in_flight = {request_id: self.live[request_id] for request_id in batch}
        return plan

    def step(self) -> IterationPlan:
        """Plan an iteration, run it and let go of the answers that are complete."""
        plan = self.plan()
        self.run(plan)
        return plan

    def run(self, plan: IterationPlan, executed: ExecutedIteration | None = None) -> None:
        """Run the last plan, or that part of it which `executed` says."""
        if plan.is_empty:
            return
        executed = executed or plan.executed(self.law.iteration_time(plan.shape))
        self.now += executed.seconds
        emitted = self.planner.record(executed, self.now)
        assert sorted(emitted) == sorted(self._execute(executed))
        assert self.kv_free_tokens >= 0
        for account in [account for account in self.live.values() if account.emitted == account.true_output]:
            self.planner.finish(account.request.request_id)
            self.done[account.request.request_id] = self.live.pop(account.request.request_id)

    def run_until_idle(self, max_steps: int = 100_000) -> None:
        """Run until nothing is live.

        Raises:
            AssertionError: requests wait and the plan is empty, or there is no end to it.
        """
        for _ in range(max_steps):
            if not self.live:
                return
            assert not self.step().is_empty, f"stuck with {list(self.live)}"
        raise AssertionError(f"no end after {max_steps} steps: {list(self.live)} are left")

    def _execute(self, executed: ExecutedIteration) -> list[str]:
        """Do in the accounts what was run, passing over who has left since the plan; return who has one more token."""
        emitted = []
        for request_id in executed.decodes:
            if account := self._still_live(request_id):
                account.computed += 1
                emitted.append(account)
        for chunk in executed.chunks:
            if account := self._still_live(chunk.request_id):
                account.computed += chunk.num_tokens
                if account.decodes:
                    emitted.append(account)
        for account in emitted:
            account.emitted += 1
            account.token_times.append(self.now)
        return [account.request.request_id for account in emitted]

    def _still_live(self, request_id: str) -> Account | None:
        account = self._in_flight[request_id]
        return account if self.live.get(request_id) is account else None

    def _check(self, plan: IterationPlan) -> None:
        batch = [*plan.decodes, *(chunk.request_id for chunk in plan.chunks)]
        assert len(batch) == len(set(batch)), "a request is in the batch twice"
        assert set(plan.decodes) == {i for i, account in self.live.items() if account.decodes}
        for chunk in plan.chunks:
            account = self.live[chunk.request_id]
            assert 0 < chunk.num_tokens <= account.to_compute - account.computed
        num_tokens = len(plan.decodes) + sum(chunk.num_tokens for chunk in plan.chunks)
        assert num_tokens <= max(plan.token_budget, len(plan.decodes))
        assert num_tokens <= self.kv_free_tokens, "the KV cache cannot hold the iteration"
        self._check_shape(plan)

    def _check_shape(self, plan: IterationPlan) -> None:
        shape = plan.shape
        chunks = [(chunk.num_tokens, self.live[chunk.request_id].computed) for chunk in plan.chunks]
        assert shape.prefill_tokens == sum(tokens for tokens, _ in chunks)
        assert shape.num_decodes == len(plan.decodes)
        assert shape.decode_context_tokens == sum(self.live[i].computed for i in plan.decodes)
        assert shape.prefill_context_tokens == sum(context for _, context in chunks)
        assert shape.prefill_attention == sum(tokens * (context + tokens / 2) for tokens, context in chunks)
