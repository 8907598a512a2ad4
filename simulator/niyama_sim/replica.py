"""One simulated replica: an engine, the requests on it, and the load that it reports."""

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


class SimulatedReplica:
    """A replica as the simulated routers know it: by name, by the classes that it serves, and by its load.

    Args:
        index: which of the cluster's replicas it is; names it and seeds its noise.
        settings: of the cluster.
        pool: to which it belongs; None when all classes share the replicas.
    """

    def __init__(self, index: int, settings: SimulationSettings, *, pool: Pool | None = None) -> None:
        """Start idle."""
        profile = settings.profile.at_speed(settings.speed)
        scheduler = settings.scheduler if pool is None else pool.scheduler
        planner = build_planner(scheduler, settings.profile, speed=settings.speed)
        noise = lognormal_noise(settings.noise, seed=settings.seed * 1_000_003 + index)
        self.name = f"replica-{index}"
        self.serves = None if pool is None else pool.classes
        self.engine = SimulatedEngine(planner, profile.law, profile.kv_capacity_tokens, noise)
        self.has_changed = True
        """Whether anything was admitted, run or let go since its load was last looked at."""
        self._load = ReplicaLoad(self.name, self.name)

    def load(self, now: float) -> ReplicaLoad:
        """Return its load; that of the last time as long as nothing has changed."""
        if self.has_changed:
            self._load = self._measured(now)
            self.has_changed = False
        return self._load

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
