"""What `niyama bench` does between its options and its figures: ask the cluster what it is, then send the load."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from niyama_client import ClusterStatus, Description
from niyama_client.connection import Target
from niyama_core.slo import QosClasses
from niyama_eval.outcomes import RequestOutcome
from niyama_eval.settings import WorkloadSettings
from niyama_eval.workloads import WorkloadRequest, generate
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from niyama_cli.bench_classes import choose_classes, with_learnt_promises
from niyama_cli.errors import CommandError
from niyama_cli.load_generator import LoadMeter, LoadSettings, run_workload
from niyama_cli.router_client import router_client

__all__ = ["BenchResult", "BenchSettings", "run_bench"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """One load.

    Attributes:
        workload: what is sent, but for the shares of the classes and the cluster's context.
        classes: `name` or `name:weight`; empty for all classes of the manifest, or else of the cluster.
        declared: the classes of a manifest.
        mix: weights in the order of the classes.
        seed: of everything that is drawn.
        replay: whether answers shall have the lengths of the workload.
        patience: seconds after the last arrival after which what is still open is given up.
    """

    workload: WorkloadSettings
    classes: tuple[str, ...] = ()
    declared: QosClasses | None = None
    mix: str | None = None
    seed: int = 1
    replay: bool = False
    patience: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """What came of a load.

    Attributes:
        status: the cluster before it.
        description: what the cluster serves.
        class_names: the classes that were asked for.
        outcomes: of each request, in the order of arrival; of a load that was cut short, of those that had ended.
        num_planned: requests of the whole load.
        meter: how well the generator kept up, and why requests failed.
    """

    status: ClusterStatus
    description: Description
    class_names: tuple[str, ...]
    outcomes: Sequence[RequestOutcome]
    num_planned: int
    meter: LoadMeter = field(default_factory=LoadMeter)

    @property
    def policy(self) -> str:
        """Name of the cluster's scheduling policy, under which its figures are kept."""
        return self.status.policy or self.description.policy or "cluster"

    @property
    def is_interrupted(self) -> bool:
        """Whether the load was cut short."""
        return len(self.outcomes) < self.num_planned

    def facts(self) -> Mapping[str, object]:
        """Return what the figures depend on of the cluster and of this machine."""
        return {
            "cluster": self.status.cluster,
            "placement": self.status.placement,
            "model": self.description.model,
            "engine": self.description.engine,
            "profile": self.description.profile,
            "replicas": len(self.status.replicas),
            "server_version": self.description.version,
            "largest_send_lag_s": round(self.meter.largest_lag, 4),
            "reasons": dict(self.meter.failures),
            "interrupted": self.is_interrupted,
        }


async def run_bench(target: Target, settings: BenchSettings, *, console: Console) -> BenchResult:
    """Send the load and return what came of it, cancelled what came of it so far; progress is shown on `console`.

    Raises:
        CancelledError: it was cancelled, and no request had ended.
        NiyamaError: the router does not say what it is.
        CommandError: the load does not fit the cluster.
        WorkloadError, TraceError: the load cannot be made.
    """
    async with router_client(target) as client:
        status, description = await client.status(), await client.describe()
    if settings.replay and not description.replay:
        raise CommandError("the cluster was not started for replay: start it with `niyama up --replay`")
    requests, class_names = _requests(settings, status=status, description=description)
    meter = LoadMeter()
    with _Bar(console, num_requests=len(requests), meter=meter) as bar:
        outcomes = await _send(target, requests, settings=_load(settings, description), bar=bar)
    return BenchResult(
        status=status,
        description=description,
        class_names=class_names,
        outcomes=with_learnt_promises(outcomes),
        num_planned=len(requests),
        meter=meter,
    )


async def _send(
    target: Target, requests: Sequence[WorkloadRequest], *, settings: LoadSettings, bar: "_Bar"
) -> Sequence[RequestOutcome]:
    """Return what came of the requests; when cancelled, of those that have ended, if any has."""
    try:
        return await run_workload(target, requests, settings=settings, on_outcome=bar.count, meter=bar.meter)
    except asyncio.CancelledError:
        if not bar.ended:
            raise
        return sorted(bar.ended, key=lambda outcome: outcome.arrival)


def _requests(
    settings: BenchSettings, *, status: ClusterStatus, description: Description
) -> tuple[Sequence[WorkloadRequest], tuple[str, ...]]:
    served = [row.qos_class for row in status.classes]
    shares = choose_classes(settings.classes, declared=settings.declared, served=served, mix=settings.mix)
    workload = replace(settings.workload, mix=shares.mix, context_tokens=description.context_tokens or None)
    requests = generate(workload, shares.classes, rng=np.random.default_rng(settings.seed))
    if not requests:
        raise CommandError("no request arrives in that time: ask for a longer duration, or a higher rate")
    return requests, tuple(shares.classes.by_name)


def _load(settings: BenchSettings, description: Description) -> LoadSettings:
    return LoadSettings(
        replay=settings.replay,
        max_tokens=description.max_output_tokens,
        bytes_per_token=description.bytes_per_token or 4.0,
        says_importance=settings.workload.low_importance is not None,
        patience=settings.patience,
    )


class _Bar:
    """A progress bar of requests that have ended, with how many are open.

    Attributes:
        meter: what is shown.
        ended: what came of the requests so far, in the order of their ends.
    """

    def __init__(self, console: Console, *, num_requests: int, meter: LoadMeter) -> None:
        self.meter = meter
        self.ended: list[RequestOutcome] = []
        # Narrow: a terminal echoes ^C at the end of the line, and one that it breaks would be left there twice.
        columns = TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn()
        self._progress = Progress(*columns, TextColumn("{task.fields[now]}"), console=console)
        self._task = self._progress.add_task("requests", total=num_requests, now="")

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def count(self, outcome: RequestOutcome) -> None:
        """Show that one more request has ended."""
        self.ended.append(outcome)
        now = f"{self.meter.num_open} open, {self.meter.num_tokens:,} tokens"
        self._progress.update(self._task, advance=1, now=now)
