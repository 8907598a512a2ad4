"""One simulated replica: an engine, the requests on it, and the load that it reports."""

import math
from dataclasses import dataclass
from functools import partial

from niyama_core.latency import IterationShape, LatencyModel
from niyama_core.load import ReplicaLoad
from niyama_core.planner import IterationPlanner
from niyama_core.policies import SchedulerSettings, build_policy, build_predictor
from niyama_core.profiles import LatencyProfile

from niyama_sim.engine import SimulatedEngine
from niyama_sim.noise import lognormal_noise
from niyama_sim.settings import Pool, SimulationSettings

__all__ = ["SimulatedReplica", "build_planner"]


def build_planner(scheduler: SchedulerSettings, profile: LatencyProfile, *, speed: float = 1.0) -> IterationPlanner:
    """Return the planner of a replica `speed` times as fast as its profile, idle.

    Raises:
        ValueError: there is no policy of that name.
    """
    predictor = build_predictor(scheduler, profile.at_speed(speed).predictor)
    policy = build_policy(scheduler, predictor).at_speed(speed)
    return IterationPlanner(policy, predictor, max_num_seqs=scheduler.max_num_seqs)


@dataclass(frozen=True, slots=True)
class _Slowed:
    """The law of a machine that is slower than it should be."""

    law: LatencyModel
    factor: float

    def iteration_time(self, shape: IterationShape) -> float:
        """Return the seconds that an iteration takes."""
        return self.factor * self.law.iteration_time(shape)


class SimulatedReplica:
    """A replica as the simulated routers know it: by name, by the classes that it serves, and by its load.

    Args:
        index: which of the cluster's replicas it is; names it and seeds its noise.
        settings: of the cluster.
        pool: to which it belongs; None when all classes share the replicas.
    """

    def __init__(self, index: int, settings: SimulationSettings, *, pool: Pool | None = None) -> None:
        """Start idle."""
        scheduler = settings.scheduler if pool is None else pool.scheduler
        noise = lognormal_noise(settings.noise, seed=settings.seed * 1_000_003 + index)
        self.name = f"replica-{index}"
        self.serves = None if pool is None else pool.classes
        self.is_up = True
        """Whether it is there at all."""
        self.takes_requests = True
        """Whether it is there, and not being drained."""
        self._profile = settings.profile.at_speed(settings.speed)
        self._slowness = 1.0
        self._plan = partial(build_planner, scheduler, settings.profile, speed=settings.speed)
        self.engine = SimulatedEngine(self._plan(), self._law, self._profile.kv_capacity_tokens, noise)
        self.has_changed = True
        """Whether anything was admitted, run or let go since its load was last looked at."""
        self._load = ReplicaLoad(self.name, self.name)

    def load(self, now: float) -> ReplicaLoad:
        """Return its load; that of the last time as long as nothing has changed."""
        if self.has_changed:
            self._load = self._measured(now)
            self.has_changed = False
        return self._load

    @property
    def _law(self) -> LatencyModel:
        law = self._profile.law
        return law if math.isclose(self._slowness, 1.0) else _Slowed(law, self._slowness)

    def slow_down(self, factor: float) -> None:
        """Let iterations take so many times as long as they did, from the next one on."""
        self._slowness *= factor
        self.engine.law = self._law

    def drain(self) -> None:
        """Take nothing new."""
        self.takes_requests = False

    def leave(self) -> None:
        """Be gone."""
        self.is_up = self.takes_requests = False

    def come_back(self) -> None:
        """Be there again, as after a start: idle, and without anything learnt; its counts go on."""
        before = self.engine
        capacity = self._profile.kv_capacity_tokens
        self.engine = SimulatedEngine(self._plan(), self._law, capacity, before.noise, before.counts)
        self.is_up = self.takes_requests = self.has_changed = True

    def _measured(self, now: float) -> ReplicaLoad:
        planner = self.engine.planner
        return ReplicaLoad(
            replica=self.name,
            address=self.name,
            sequence=self._load.sequence + 1,
            classes=planner.class_loads(),
            tightest_slack=planner.tightest_slack(now),
            prefill_tokens_per_second=planner.rates.prefill_rate,
            iteration_seconds=planner.rates.iteration_time,
            kv_used_tokens=self.engine.kv_used_tokens,
            kv_free_tokens=self.engine.kv_capacity_tokens - self.engine.kv_used_tokens,
        )
