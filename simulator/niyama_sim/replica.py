"""One simulated replica: an engine, the requests on it, and the load that it reports."""

from niyama_core.load import ReplicaLoad
from niyama_core.placement import Candidate
from niyama_core.planner import IterationPlanner
from niyama_core.policies import SchedulerSettings, build_policy
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
    predictor = profile.at_speed(speed).predictor
    policy = build_policy(scheduler, predictor).at_speed(speed)
    return IterationPlanner(policy, predictor, max_num_seqs=scheduler.max_num_seqs)


class SimulatedReplica:
    """A replica as the simulated router knows it: by name, and by a load that may be old.

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
        self.engine = SimulatedEngine(planner, profile.law, profile.kv_capacity_tokens, noise)
        self._serves = None if pool is None else pool.classes
        self._report_seconds = settings.report_seconds
        self._reported_at = float("-inf")
        self._load = ReplicaLoad(self.name, self.name)
        self._pending_prefill_tokens = 0
        self._num_pending = 0

    def candidate(self, now: float) -> Candidate:
        """Return the replica as the router sees it: its latest report, and what was placed there since."""
        if now - self._reported_at >= self._report_seconds:
            self._report(now)
        age = now - self._reported_at
        return Candidate(self._load, age, self._pending_prefill_tokens, self._num_pending, self._serves)

    def expect(self, num_prompt_tokens: int) -> None:
        """Count a request that has been placed here since the latest report."""
        self._pending_prefill_tokens += num_prompt_tokens
        self._num_pending += 1

    def _report(self, now: float) -> None:
        planner = self.engine.planner
        self._load = ReplicaLoad(
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
        self._reported_at = now
        self._pending_prefill_tokens = self._num_pending = 0
