"""Time of one `plan()` and one `record()`, with 256 decodes and a long queue, for each policy.

    python bench/plan.py
    python bench/plan.py --policy niyama --queued 10000 --iterations 2000 --json

Steady state: time is virtual and advances by what each iteration is expected to take. After each iteration the requests
that decode longest end, as many as have begun to decode, so that 256 decode always; and as many new ones arrive, so
that the queue stays as long as it was. A queue this long is overload, as it is when planning must be quick: of the
requests in it, drawn like the published mix (a third of each class, a fifth of low importance, lengths of ShareGPT),
most are relegated by the policies that relegate. The iterations before that has settled are run and not counted.

Counted is the processor's time of the thread, so that whatever else a machine does is not the planner's.

Two settings differ from the published ones, because 256 decodes would leave no room for prefill with them: tokens may
be 200 ms apart, and a fixed budget is 512 tokens.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count

from niyama_core.planner import IterationPlanner
from niyama_core.policies import POLICIES, SchedulerSettings, build_policy
from niyama_core.profiles import PROFILES
from niyama_core.request import Request
from niyama_core.slo import Batch, Importance, Interactive, Promise, Slo

PREDICTOR = PROFILES["a100-llama3-8b"].predictor
CLASSES: dict[str, Slo] = {
    "chat": Interactive(ttft=6.0, tbt=0.2),
    "summarise": Batch(ttlt=600.0),
    "nightly": Batch(ttlt=1800.0),
}
TOKEN_BUDGET = 512
NUM_DECODES = 256
QUEUED = [1_000, 10_000]
WARM_UP_ITERATIONS = 300
PLENTY_OF_KV = 10**9


@dataclass(frozen=True, slots=True)
class Times:
    """How long calls took, in milliseconds."""

    mean: float
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Times":
        """Return the figures of some calls."""
        cuts = statistics.quantiles(seconds, n=100)
        return cls(1e3 * statistics.fmean(seconds), 1e3 * cuts[49], 1e3 * cuts[94], 1e3 * cuts[98])

    def __str__(self) -> str:
        """Return the figures as four cells of the table."""
        return f"{self.mean:9.3f}{self.p50:9.3f}{self.p95:9.3f}{self.p99:9.3f}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One policy with one length of queue."""

    policy: str
    num_queued: int
    num_decodes: int
    plan_ms: Times
    record_ms: Times

    def __str__(self) -> str:
        """Return the measurement as one line of the table."""
        return f"{self.policy:<14}{self.num_queued:>7}  {self.plan_ms}  {self.record_ms}"


class SteadyReplica:
    """A planner whose load stays the same, iteration after iteration."""

    def __init__(self, policy: str, num_queued: int, *, seed: int = 1) -> None:
        """Bring a planner to its load."""
        settings = SchedulerSettings(policy, token_budget=TOKEN_BUDGET)
        self.planner = IterationPlanner(build_policy(settings, PREDICTOR), PREDICTOR)
        self.now = 0.0
        self._random = random.Random(seed)
        self._ids = map(str, count())
        self._decoding: dict[str, None] = {}
        self._arrive(NUM_DECODES)
        while len(self._decoding) < NUM_DECODES:
            self.step()
        self._arrive(num_queued)

    def step(self) -> tuple[float, float]:
        """Run one iteration; return the seconds that planning and recording it took."""
        begun = time.thread_time()
        plan = self.planner.plan(self.now, PLENTY_OF_KV)
        planned = time.thread_time()
        self.now += plan.predicted_seconds
        executed = plan.executed(plan.predicted_seconds)
        recording = time.thread_time()
        emitted = self.planner.record(executed, self.now)
        recorded = time.thread_time()
        self._decoding.update(dict.fromkeys(emitted))
        self._replace(len(self._decoding) - NUM_DECODES)
        return planned - begun, recorded - recording

    def _replace(self, num_requests: int) -> None:
        """End the requests that decode longest and let as many arrive."""
        for request_id in list(self._decoding)[: max(0, num_requests)]:
            del self._decoding[request_id]
            self.planner.finish(request_id)
            self._arrive(1)

    def _arrive(self, num_requests: int) -> None:
        for _ in range(num_requests):
            name = self._random.choice(list(CLASSES))
            importance = Importance.LOW if self._random.random() < 0.2 else Importance.HIGH
            num_prompt_tokens = min(16_000, 1 + int(self._random.lognormvariate(7.45, 0.93)))
            promise = Promise(name, CLASSES[name], importance)
            self.planner.admit(Request(next(self._ids), promise, self.now, num_prompt_tokens, max_output_tokens=1000))


def measure(policy: str, num_queued: int, *, iterations: int) -> Measurement:
    """Return the times of a policy over some iterations of a steady load."""
    replica = SteadyReplica(policy, num_queued)
    for _ in range(WARM_UP_ITERATIONS):
        replica.step()
    plans, records = zip(*(replica.step() for _ in range(iterations)), strict=True)
    return Measurement(policy, num_queued, NUM_DECODES, Times.of([*plans]), Times.of([*records]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    options = _parser().parse_args(arguments)
    policies, lengths = options.policy or list(POLICIES), options.queued or QUEUED
    measurements = (
        measure(policy, num_queued, iterations=options.iterations) for num_queued in lengths for policy in policies
    )
    if options.json:
        print(json.dumps([asdict(measurement) for measurement in measurements], indent=2))
        return
    cells = "".join(f"{name:>9}" for name in ("mean", "p50", "p95", "p99"))
    print(f"{f'milliseconds, {NUM_DECODES} decodes':<21}  {'plan':^36}  {'record':^36}")
    print(f"{'policy':<14}{'queued':>7}  {cells}  {cells}")
    for measurement in measurements:
        print(measurement, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Time of one plan() and one record(), with 256 decodes.")
    parser.add_argument("--policy", action="append", choices=list(POLICIES), help="may be repeated; default: all")
    parser.add_argument("--queued", action="append", type=int, help="may be repeated; default: 1000 and 10000")
    parser.add_argument("--iterations", type=int, default=1000, help="default: 1000")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


if __name__ == "__main__":
    main()
