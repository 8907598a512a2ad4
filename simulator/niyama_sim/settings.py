"""What is simulated: a cluster's declaration, and what only a simulation must be told."""

from dataclasses import dataclass, field

from niyama_core.policies import SchedulerSettings
from niyama_core.profiles import PROFILES, LatencyProfile
from niyama_core.slo import QosClasses, default_classes

__all__ = ["SimulationSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSettings:
    """A simulated cluster.

    Attributes:
        scheduler: the replicas' policy.
        placement: the router's policy.
        profile: law and predictor of a replica.
        speed: how many times as fast as the profile the replicas are.
        classes: by whose times placement judges what is urgent.
        num_replicas: how many.
        noise: standard deviation of the logarithm of the factor on iteration times.
        report_seconds: how old a replica's load may be when the router reads it.
        max_moves: how often a request may go to another replica.
        max_output_tokens: the cap on answers, which is what the planner is told; longer ones end there.
        seed: of the noise.
    """

    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)
    placement: str = "niyama"
    profile: LatencyProfile = PROFILES["a100-llama3-8b"]
    speed: float = 1.0
    classes: QosClasses = field(default_factory=default_classes)
    num_replicas: int = 1
    noise: float = 0.05
    report_seconds: float = 0.1
    max_moves: int = 2
    max_output_tokens: int = 4096
    seed: int = 0

    def output_cap(self, num_prompt_tokens: int) -> int:
        """Return the most tokens that the answer to such a prompt may have; under 1 when the prompt is too long."""
        room = min(self.profile.context_tokens, self.profile.kv_capacity_tokens) - num_prompt_tokens
        return min(self.max_output_tokens, room)
