"""What is simulated: a cluster's declaration, and what only a simulation must be told."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from niyama_core.policies import SchedulerSettings
from niyama_core.profiles import PROFILES, LatencyProfile
from niyama_core.slo import Interactive, QosClass, QosClasses, default_classes

from niyama_sim.faults import Fault

__all__ = ["Pool", "RateLimit", "SettingsError", "SimulationSettings", "silo_pools"]

# The published silos: small iterations where tokens are due one by one, large ones where only the end is.
_INTERACTIVE_BUDGET, _BATCH_BUDGET = 256, 2_048


class SettingsError(ValueError):
    """A cluster that cannot be; the message names the setting and says what to do."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Replicas that some classes have for themselves.

    Attributes:
        classes: the names of the classes.
        num_replicas: how many.
        scheduler: of each of them.
    """

    classes: frozenset[str]
    num_replicas: int
    scheduler: SchedulerSettings

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.num_replicas < 1:
            raise SettingsError(f"pool of {', '.join(sorted(self.classes))}: give it 1 replica or more")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket at the cluster's door: who finds it empty is refused, whoever it is.

    Attributes:
        qps: requests per second that are let in on average.
        burst: requests that may come at once after a pause.
    """

    qps: float
    burst: float

    def __post_init__(self) -> None:
        """Refuse what lets nobody in."""
        if not (self.qps > 0 and self.burst >= 1):
            raise SettingsError("rate_limit: give a rate above 0 and a burst of 1 or more, for example 3.5 or 3.5:10")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSettings:
    """A simulated cluster.

    Attributes:
        scheduler: the replicas' policy.
        placement: the router's policy; with pools, within each of them.
        profile: law and predictor of a replica.
        speed: how many times as fast as the profile the replicas are.
        classes: by whose times placement judges what is urgent.
        num_replicas: how many, those of all pools together.
        pools: how the replicas are divided, in order; empty when all classes share all of them, under `scheduler`.
        rate_limit: what is let in at the door; None lets everybody in.
        num_routers: how many; requests are spread over them at random, by the seed.
        load_age: how many seconds old the loads may be by which a router places; they are at least half as old. With 0
            every router knows everything.
        faults: what goes wrong during the run.
        noise: standard deviation of the logarithm of the factor on iteration times.
        max_moves: how often a request may go to another replica.
        max_output_tokens: the cap on answers, which is what the planner is told; longer ones end there.
        seed: of the noise, and of who goes to which router.

    Raises:
        SettingsError: the pools do not fit the replicas or the classes, or a fault is of a replica that is not there.
    """

    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)
    placement: str = "niyama"
    profile: LatencyProfile = PROFILES["a100-llama3-8b"]
    speed: float = 1.0
    classes: QosClasses = field(default_factory=default_classes)
    num_replicas: int = 1
    pools: tuple[Pool, ...] = ()
    rate_limit: RateLimit | None = None
    num_routers: int = 1
    load_age: float = 0.1
    faults: tuple[Fault, ...] = ()
    noise: float = 0.05
    max_moves: int = 2
    max_output_tokens: int = 4096
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what does not fit."""
        if self.num_routers < 1:
            raise SettingsError(f"routers: {self.num_routers} place nothing: give 1 or more")
        if not 0 <= self.load_age < float("inf"):
            raise SettingsError(f"load_age: {self.load_age} is no age: give 0 s or more")
        for fault in self.faults:
            if fault.replica is not None and fault.replica >= self.num_replicas:
                raise SettingsError(f"faults: there is no replica {fault.replica}: give 0 to {self.num_replicas - 1}")
        if not self.pools:
            return
        num_replicas = sum(pool.num_replicas for pool in self.pools)
        if num_replicas != self.num_replicas:
            raise SettingsError(f"pools: they have {num_replicas} replicas, the cluster has {self.num_replicas}")
        homeless = set(self.classes.by_name).difference(*(pool.classes for pool in self.pools))
        if homeless:
            raise SettingsError(f"pools: none serves {', '.join(sorted(homeless))}; name every class in one")

    def pool_of_each(self) -> Iterator[Pool | None]:
        """Yield the pool of each replica in turn; None of those that all classes share."""
        if not self.pools:
            yield from [None] * self.num_replicas
        for pool in self.pools:
            yield from [pool] * pool.num_replicas

    def in_pools(self, pools: Sequence[Pool]) -> "SimulationSettings":
        """Return the cluster divided into pools, with as many replicas as they have.

        Raises:
            SettingsError: a class is in none.
        """
        return replace(self, pools=tuple(pools), num_replicas=sum(pool.num_replicas for pool in pools))

    def with_policy(self, policy: str) -> "SimulationSettings":
        """Return the cluster with another policy on every replica; budgets stay those of each pool."""
        pools = tuple(replace(pool, scheduler=replace(pool.scheduler, policy=policy)) for pool in self.pools)
        return replace(self, scheduler=replace(self.scheduler, policy=policy), pools=pools)

    def output_cap(self, num_prompt_tokens: int) -> int:
        """Return the most tokens that the answer to such a prompt may have; under 1 when the prompt is too long."""
        room = min(self.profile.context_tokens, self.profile.kv_capacity_tokens) - num_prompt_tokens
        return min(self.max_output_tokens, room)


def silo_pools(classes: QosClasses, num_replicas: Sequence[int], *, policy: str = "sarathi-fcfs") -> tuple[Pool, ...]:
    """Return the published silos: a pool for each class, with the token budget that suits it.

    Args:
        classes: one pool each.
        num_replicas: of each class, in the order of the classes.
        policy: of all replicas.

    Raises:
        SettingsError: there are more or fewer numbers than classes, or one of them is below 1.
    """
    if len(num_replicas) != len(classes.by_name):
        names = ", ".join(classes.by_name)
        raise SettingsError(
            f"silo: {len(num_replicas)} numbers of replicas for {len(classes.by_name)} classes: {names}"
        )
    return tuple(
        Pool(frozenset({one.name}), num, SchedulerSettings(policy, token_budget=_silo_budget(one)))
        for one, num in zip(classes, num_replicas, strict=True)
    )


def _silo_budget(qos_class: QosClass) -> int:
    return _INTERACTIVE_BUDGET if isinstance(qos_class.slo, Interactive) else _BATCH_BUDGET
