"""What tells a policy from what it will be: its decisions on reference runs.

Figures take hours. They are as good as new while the policies decide as they did, whatever became of the code; so a
figure is kept as long as the reference runs of its policy and placement come out alike, token by token. They are short
and hard: overload with importance, all workloads, little KV, a law that is not the one that plans; of placements, old
loads and replicas that are lost, slow or restarted. A change that none of them shows is taken for none.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from niyama_core.policies import SchedulerSettings
from niyama_eval.outcomes import RequestOutcome
from niyama_eval.settings import WorkloadSettings
from niyama_eval.workloads import generate_seeded
from niyama_sim.cluster import simulate
from niyama_sim.faults import parse_faults
from niyama_sim.settings import SimulationSettings

from bench.results.setting import cluster, traffic

__all__ = ["decisions", "of_policy"]

_Reference = tuple[SimulationSettings, WorkloadSettings]
_OVERLOAD = {"azure-code-2024": (8.0, 200), "azure-conv-2024": (9.0, 150), "sharegpt": (5.0, 60)}
_LITTLE_KV = 24_000
_FAULTS = parse_faults("lose:1@3s:2s,slow:2@4s:5s:2,restart:all@8s:500ms")


def decisions(settings: SimulationSettings) -> str:
    """Return what tells how a cluster's policies and, if it has several replicas, its placement decide."""
    policies = {settings.scheduler.policy, *(pool.scheduler.policy for pool in settings.pools)}
    told = [of_policy(policy) for policy in sorted(policies)]
    return " ".join(told if settings.num_replicas == 1 else [*told, _of_placement(settings.placement)])


@cache
def of_policy(policy: str) -> str:
    """Return what tells how replicas decide under a policy."""
    return _digest(_one_replica(SchedulerSettings(policy)))


@cache
def _of_placement(placement: str) -> str:
    base = replace(cluster("azure-code-2024", replicas=4, placement=placement), faults=_FAULTS, load_age=0.5)
    asked = traffic("azure-code-2024", qps=20.0, num_requests=300, low_importance=0.3)
    return _digest((replace(base, num_routers=number), asked) for number in (1, 3))


def _one_replica(scheduler: SchedulerSettings) -> Iterator[_Reference]:
    for workload, (qps, num_requests) in _OVERLOAD.items():
        asked = traffic(workload, qps=qps, num_requests=num_requests, low_importance=0.3)
        yield replace(cluster(workload), scheduler=scheduler), asked
    code = traffic("azure-code-2024", qps=5.0, num_requests=150, low_importance=0.3)
    for base in (cluster("azure-code-2024", profile="a100-llama3-8b"), _with_little_kv()):
        yield replace(base, scheduler=scheduler), code
    if scheduler.policy == "niyama":
        yield replace(cluster("azure-code-2024"), scheduler=replace(scheduler, fairness=2.0)), code


def _with_little_kv() -> SimulationSettings:
    base = cluster("azure-code-2024")
    return replace(base, profile=replace(base.profile, kv_capacity_tokens=_LITTLE_KV))


def _digest(references: Iterable[_Reference]) -> str:
    told = hashlib.sha256()
    for settings, asked in references:
        for outcome in simulate(settings, generate_seeded(asked, settings.classes, seed=1)).outcomes:
            told.update(_text(outcome).encode())
    return told.hexdigest()[:12]


def _text(outcome: RequestOutcome) -> str:
    """Return what came of a request, its tokens to the microsecond."""
    tokens = " ".join(f"{instant:.6f}" for instant in outcome.emitted)
    return f"{outcome.request_id} {outcome.state.value} {outcome.replica} {outcome.relegation.value} {tokens}\n"
