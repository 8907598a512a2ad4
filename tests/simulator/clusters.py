"""Clusters to simulate, and requests to ask of them; each builder takes what a test is about."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from niyama_core.latency import LatencyModel
from niyama_core.policies import SchedulerSettings
from niyama_core.profiles import LatencyProfile
from niyama_core.slo import Batch, Importance, Interactive, OnOverload, Promise
from niyama_eval.workloads import WorkloadRequest
from niyama_sim.engine import Iteration
from niyama_sim.settings import SimulationSettings

from tests.builders import A100, SteadyLaw

CHAT = Promise("chat", Interactive(ttft=6.0, tbt=0.05))
JOB = Promise("summarise", Batch(ttlt=600.0))
NIGHTLY = Promise("nightly", Batch(ttlt=1800.0), Importance.LOW)
HURRIED = Promise("chat", Interactive(ttft=0.5, tbt=0.05))
PICKY = Promise("chat", Interactive(ttft=0.5, tbt=0.05), on_overload=OnOverload.REJECT)

UNBOUNDED = 10**12
"""More tokens than any test has."""

Size = tuple[int, int, Promise]
"""Prompt tokens, output tokens, and what is promised."""


def asked(
    request_id: str = "request",
    arrival: float = 1.0,
    *,
    prompt: int = 1000,
    output: int = 10,
    promise: Promise = CHAT,
    app: str = "office",
) -> WorkloadRequest:
    """Return one request of a workload."""
    return WorkloadRequest(request_id, arrival, prompt, output, promise, app)


def poisson(num: int, *, qps: float, size: Callable[[random.Random], Size], seed: int = 0) -> list[WorkloadRequest]:
    """Return Poisson arrivals with sizes drawn apart from them."""
    gaps, sizes = random.Random(f"gaps {seed}"), random.Random(f"sizes {seed}")
    arrival, workload = 0.0, []
    for index in range(num):
        arrival += gaps.expovariate(qps)
        prompt, output, promise = size(sizes)
        workload.append(asked(f"r{index}", arrival, prompt=prompt, output=output, promise=promise))
    return workload


def a_mixed_size(rng: random.Random) -> Size:
    """Draw what traffic is made of: mostly short prompts, some long ones, three classes."""
    prompt = min(8000, max(1, round(rng.lognormvariate(6.8, 1.0))))
    output = min(400, max(1, round(rng.lognormvariate(3.0, 1.0))))
    return prompt, output, rng.choice((CHAT, HURRIED, JOB, NIGHTLY))


def mixed(num: int, *, qps: float, seed: int = 0) -> list[WorkloadRequest]:
    """Return mixed traffic."""
    return poisson(num, qps=qps, size=a_mixed_size, seed=seed)


def a_profile(
    law: LatencyModel | None = None, *, kv_tokens: int = UNBOUNDED, context_tokens: int = UNBOUNDED
) -> LatencyProfile:
    """Return a profile of a machine that is easy to reckon with."""
    law = law or SteadyLaw()
    return replace(A100, law=law, predictor=law, kv_capacity_tokens=kv_tokens, context_tokens=context_tokens)


def a_cluster(
    policy: str = "niyama",
    *,
    num_replicas: int = 1,
    placement: str = "niyama",
    profile: LatencyProfile = A100,
    noise: float = 0.0,
    seed: int = 0,
) -> SimulationSettings:
    """Return a cluster without noise, on A100s."""
    return SimulationSettings(
        scheduler=SchedulerSettings(policy),
        num_replicas=num_replicas,
        placement=placement,
        profile=profile,
        noise=noise,
        seed=seed,
    )


@dataclass(slots=True)
class Watch:
    """Notes every iteration, by replica."""

    iterations: dict[str, list[Iteration]] = field(default_factory=dict)

    def __call__(self, replica: str, iteration: Iteration) -> None:
        self.iterations.setdefault(replica, []).append(iteration)

    def of(self, replica: str = "replica-0") -> list[Iteration]:
        """Return the iterations of one replica."""
        return self.iterations.get(replica, [])

    def every(self) -> list[Iteration]:
        """Return the iterations of all replicas."""
        return [iteration for iterations in self.iterations.values() for iteration in iterations]

    def pauses(self, replica: str = "replica-0") -> Iterator[tuple[float, float]]:
        """Yield when a replica was idle: from the end of an iteration to the beginning of the next."""
        iterations = self.of(replica)
        for before, after in pairwise(iterations):
            if after.begins != before.ends:
                yield before.ends, after.begins
