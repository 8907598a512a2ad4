"""The experiment behind `niyama demo`: one cluster's capacity measured, then more than that sent to it, twice.

Everything is real: processes, Redis, gRPC. The same requests come at the same times in both runs, with the same
lengths; only the replicas' scheduling policy differs. Answers have the lengths of the traffic because the cluster is
started for replay; no policy is told of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from niyama_core.cluster_spec import ClusterSpec
from niyama_eval.arrivals import Poisson, Replayed
from niyama_eval.outcomes import RequestOutcome
from niyama_eval.settings import WorkloadSettings
from niyama_eval.workloads import WorkloadRequest, generate
from niyama_runtime.profile_file import find_profile

from niyama_cli.closed_loop import Saturation, saturation_throughput
from niyama_cli.load_generator import LoadMeter, LoadSettings, run_workload
from niyama_cli.local_cluster import LocalCluster
from niyama_cli.local_cluster_plan import LocalOptions

__all__ = ["BASELINE", "OURS", "DemoResult", "DemoSettings", "Demonstration", "Stage"]

BASELINE = "sarathi-fcfs"
OURS = "niyama"

_CLOSED_LOOP_REQUESTS = 2000
_STEP_SECONDS, _CONFIRM_SECONDS, _FIRST_CONCURRENCY = 2.5, 8.0, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """One demonstration.

    Attributes:
        spec: the cluster; its policy is replaced by each of the two in turn.
        workloads: names of shipped workloads and paths of trace files, mixed together.
        seconds: how long requests arrive.
        load: requests a second, as a multiple of the saturation throughput.
        low_importance: share of every class that is unimportant.
        noise: spread of the engines' iteration times, which no policy foresees.
        seed: of everything that is drawn.
    """

    spec: ClusterSpec
    workloads: tuple[str, ...]
    seconds: float = 30.0
    load: float = 1.5
    low_importance: float = 0.2
    noise: float = 0.03
    seed: int = 1

    @property
    def context_tokens(self) -> int:
        """The longest prompt plus answer that a replica takes."""
        return find_profile(self.spec.engine.profile).context_tokens


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What came of a demonstration.

    Attributes:
        saturation: what the cluster can carry.
        qps: what was sent, requests a second.
        outcomes: of each policy, in the order of the runs.
        largest_lag: seconds that a request was sent late, at most; large ones mean that this machine was too busy.
    """

    saturation: Saturation
    qps: float
    outcomes: Mapping[str, Sequence[RequestOutcome]]
    largest_lag: float


class Stage(Protocol):
    """Where a demonstration is shown while it runs."""

    def measuring(self) -> None:
        """Show that the cluster's capacity is being measured."""
        ...

    def measured(self, saturation: Saturation, qps: float) -> None:
        """Show the capacity, and what will be sent."""
        ...

    def running(self, policy: str, num_requests: int) -> None:
        """Show that requests are being sent."""
        ...

    def answered(self) -> None:
        """Show that one more answer has ended."""
        ...

    def ran(self, policy: str) -> None:
        """Show that all answers of a policy have ended."""
        ...


class Demonstration:
    """Runs the experiment once.

    Args:
        settings: what is run.
        stage: where it is shown.
    """

    def __init__(self, settings: DemoSettings, stage: Stage) -> None:
        """Prepare; nothing is started yet."""
        self._settings = settings
        self._stage = stage

    async def run(self) -> DemoResult:
        """Measure, overload, compare.

        Raises:
            ClusterStartError: the cluster did not start.
            WorkloadError, TraceError: the traffic cannot be made.
        """
        settings = self._settings
        self._workload(qps=1.0, seconds=1.0)  # what is wrong with the traffic shows before anything is started
        saturation = await self._saturation()
        qps = settings.load * saturation.throughput
        requests = self._workload(qps=qps, seconds=settings.seconds)
        self._stage.measured(saturation, qps)
        outcomes, lags = {}, []
        for policy in (BASELINE, OURS):
            meter = LoadMeter()
            outcomes[policy] = await self._run(policy, requests, meter=meter)
            lags.append(meter.largest_lag)
        return DemoResult(saturation, qps, outcomes, max(lags))

    async def _saturation(self) -> Saturation:
        """Return what the cluster carries with our policy."""
        self._stage.measuring()
        requests = self._mixed_requests()
        async with self._cluster(OURS) as cluster:
            return await saturation_throughput(
                cluster.router,
                requests,
                step_seconds=_STEP_SECONDS,
                confirm_seconds=_CONFIRM_SECONDS,
                first=_FIRST_CONCURRENCY,
                settings=LoadSettings(replay=True),
            )

    async def _run(self, policy: str, requests: Sequence[WorkloadRequest], *, meter: LoadMeter) -> list[RequestOutcome]:
        stage = self._stage
        async with self._cluster(policy) as cluster:
            stage.running(policy, len(requests))
            outcomes = await run_workload(
                cluster.router,
                requests,
                settings=LoadSettings(replay=True),
                on_outcome=lambda _: stage.answered(),
                meter=meter,
            )
        stage.ran(policy)
        return outcomes

    def _cluster(self, policy: str) -> LocalCluster:
        options = LocalOptions(
            policy=policy, noise=self._settings.noise, seed=self._settings.seed, replay=True, metrics=False
        )
        return LocalCluster(self._settings.spec, options)

    def _workload(self, *, qps: float, seconds: float) -> tuple[WorkloadRequest, ...]:
        """Return a stretch of the traffic at its own times, closer together or further apart for the rate."""
        settings = self._settings
        asked = WorkloadSettings(
            workloads=settings.workloads,
            arrivals=Replayed(),
            qps=qps,
            duration=seconds,
            low_importance=settings.low_importance,
            context_tokens=settings.context_tokens,
        )
        return generate(asked, settings.spec.qos_classes, rng=np.random.default_rng(settings.seed))

    def _mixed_requests(self) -> tuple[WorkloadRequest, ...]:
        """Return requests of the same mix, to be sent one when another ends."""
        settings = self._settings
        asked = WorkloadSettings(
            workloads=settings.workloads,
            arrivals=Poisson(),
            qps=1.0,
            num_requests=_CLOSED_LOOP_REQUESTS,
            low_importance=settings.low_importance,
            context_tokens=settings.context_tokens,
        )
        return generate(asked, settings.spec.qos_classes, rng=np.random.default_rng(settings.seed + 1))
