"""The stage of what is shown on a whole cluster: real processes, a real Redis, the paced engine, and its traffic.

Promises are shorter than the published ones, so that a run of two minutes holds the longest of them twice.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from niyama_cli.closed_loop import Saturation, saturation_throughput
from niyama_cli.load_generator import LoadSettings
from niyama_cli.local_cluster import LocalCluster
from niyama_cli.local_cluster_plan import LocalOptions
from niyama_core.cluster_spec import ClusterSpec, parse_cluster
from niyama_eval.arrivals import Poisson
from niyama_eval.settings import WorkloadSettings
from niyama_eval.workloads import WorkloadRequest, generate
from niyama_runtime.profile_file import find_profile

__all__ = ["LONGEST_TTLT", "Stage", "routers_of"]

LONGEST_TTLT = 60.0
"""Seconds; overloads are held for twice as long."""

_NOISE = 0.03
_MIXED_REQUESTS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What is run.

    Attributes:
        replicas: how many.
        routers: how many.
        placement: the routers' rule.
        workload: whose lengths the requests have.
        low_importance: share of every class that is unimportant, whatever the class is.
        on_overload: what every class does when no replica can keep the promise.
        max_moves: how often a relegated request may be moved.
        batch_ttlts: seconds, of the class of high importance and of that of low.
        seed: of requests and noise.
    """

    replicas: int = 4
    routers: int = 1
    placement: str = "niyama"
    workload: str = "azure-code-2024"
    low_importance: float = 0.0
    on_overload: str = "relegate"
    max_moves: int = 2
    batch_ttlts: tuple[float, float] = (20.0, LONGEST_TTLT)
    seed: int = 1

    @property
    def document(self) -> dict[str, Any]:
        """The cluster's manifest."""
        summarise, nightly = (f"{seconds:g}s" for seconds in self.batch_ttlts)
        classes = [
            {"name": "chat", "interactive": {"ttft": "2s", "tbt": "50ms"}, "default": True},
            {"name": "summarise", "batch": {"ttlt": summarise}},
            {"name": "nightly", "batch": {"ttlt": nightly}, "importance": "low"},
        ]
        return {
            "apiVersion": "niyama.dev/v1alpha1",
            "kind": "NiyamaCluster",
            "metadata": {"name": "bench"},
            "spec": {
                "model": {"name": "bench", "maxOutputTokens": 4000},
                "engine": {"type": "paced"},
                "replicas": self.replicas,
                "router": {"replicas": self.routers, "placement": self.placement, "maxMoves": self.max_moves},
                "qosClasses": [{**one, "onOverload": self.on_overload} for one in classes],
            },
        }

    @property
    def spec(self) -> ClusterSpec:
        """The cluster's declaration."""
        return parse_cluster(self.document)

    def cluster(self, **options: Any) -> LocalCluster:  # noqa: ANN401, those of LocalOptions
        """Return the cluster, which runs within an `async with` block."""
        return LocalCluster(
            self.spec, LocalOptions(noise=_NOISE, seed=self.seed, replay=True, metrics=False, **options)
        )

    def requests(self, *, qps: float, seconds: float) -> tuple[WorkloadRequest, ...]:
        """Return requests that arrive by chance at that rate."""
        return self._generate(qps=qps, duration=seconds, seed=self.seed)

    async def saturation(self) -> Saturation:
        """Return what the cluster carries, with one router and our policies."""
        requests = self._generate(qps=1.0, num_requests=_MIXED_REQUESTS, seed=self.seed + 1)
        usual = replace(self, routers=1, placement="niyama", on_overload="relegate")
        async with usual.cluster() as cluster:
            return await saturation_throughput(
                cluster.router,
                requests,
                step_seconds=2.5,
                confirm_seconds=8.0,
                first=16 * self.replicas,
                settings=LoadSettings(replay=True),
            )

    def _generate(self, *, seed: int, **asked: Any) -> tuple[WorkloadRequest, ...]:  # noqa: ANN401, likewise
        settings = WorkloadSettings(
            workloads=(self.workload,),
            arrivals=Poisson(),
            low_importance=self.low_importance,
            context_tokens=find_profile(self.spec.engine.profile).context_tokens,
            **asked,
        )
        return generate(settings, self.spec.qos_classes, rng=np.random.default_rng(seed))


def routers_of(cluster: LocalCluster) -> str:
    """Return the address of all routers of a cluster, among which requests go round."""
    return ",".join(cluster.routers)
