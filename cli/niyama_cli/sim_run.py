"""What simulations do between their options and their figures: the cluster, and one workload through every policy."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from niyama_core.slo import QosClasses, default_classes
from niyama_core.units import format_duration
from niyama_eval.assessment import LONG_PROMPT_TOKENS
from niyama_eval.counted import Counted
from niyama_eval.outcomes import RequestOutcome
from niyama_eval.prompt_split import PromptSide, by_prompt
from niyama_eval.results import PolicyResult, summarise
from niyama_eval.settings import WorkloadSettings
from niyama_eval.tables import format_share
from niyama_eval.workloads import WorkloadRequest, generate
from niyama_runtime.profile_file import find_profile
from niyama_sim.cluster import SimulationResult, simulate
from niyama_sim.engine import Iteration
from niyama_sim.settings import SimulationSettings
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from niyama_cli.errors import CommandError
from niyama_cli.manifest_file import read_cluster

__all__ = [
    "EngineFigures",
    "PolicyRun",
    "draw_workload",
    "engine_table",
    "prompt_table",
    "run_policies",
    "simulated_cluster",
    "usual_policy",
    "workload_facts",
]

_REQUESTS_A_STEP = 50


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """What the replicas of a simulation did.

    Attributes:
        simulated_seconds: from the start to the last token.
        num_iterations: of all replicas.
        mean_chunk_tokens: prompt tokens of the iterations that computed any.
        busy_fraction: share of the replicas' time that was spent in iterations.
    """

    simulated_seconds: float
    num_iterations: int
    mean_chunk_tokens: float | None
    busy_fraction: float | None

    @classmethod
    def of(cls, result: SimulationResult) -> "EngineFigures":
        """Return the figures of a run."""
        return cls(result.seconds, result.num_iterations, result.mean_chunk_tokens, result.busy_fraction)


@dataclass(frozen=True, slots=True)
class PolicyRun:
    """One policy's run: what became of the requests that count, the figures of that, and what the replicas did."""

    outcomes: Sequence[RequestOutcome]
    figures: PolicyResult
    by_prompt: Mapping[str, PromptSide]
    engines: EngineFigures


def simulated_cluster(
    *, classes: Path | None, placement: str, profile: str, replicas: int, noise: float, seed: int
) -> SimulationSettings:
    """Return the cluster that the options describe; its classes are those of a manifest, or the published three.

    Raises:
        CommandError: the manifest is not valid.
    """
    return SimulationSettings(
        placement=placement,
        profile=find_profile(profile),
        classes=default_classes() if classes is None else read_cluster(classes).qos_classes,
        num_replicas=replicas,
        noise=noise,
        seed=seed,
    )


def usual_policy(cluster: SimulationSettings) -> str:
    """Return the policy of who names none: ours, or that of the published silos."""
    return "sarathi-fcfs" if cluster.pools else "niyama"


def workload_facts(settings: WorkloadSettings, cluster: SimulationSettings) -> Mapping[str, object]:
    """Return what the figures of simulations depend on, but for rates and seeds, as JSON has it."""
    return {
        "traffic": [Path(name).name for name in settings.workloads],
        "arrivals": str(settings.arrivals),
        "num_requests": settings.num_requests,
        "duration_s": settings.duration,
        "mix": settings.mix,
        "low_importance": settings.low_importance,
        "classes": list(cluster.classes.by_name),
        "replicas": cluster.num_replicas,
        "placement": cluster.placement,
        "pools": [
            {"classes": sorted(pool.classes), "replicas": pool.num_replicas, "scheduler": asdict(pool.scheduler)}
            for pool in cluster.pools
        ],
        "rate_limit": None if cluster.rate_limit is None else asdict(cluster.rate_limit),
        "routers": cluster.num_routers,
        "load_age_s": cluster.load_age,
        "faults": [{"kind": type(fault).__name__.lower(), **asdict(fault)} for fault in cluster.faults],
        "engine": "simulated",
        "profile": cluster.profile.name,
        "iteration_noise_sigma": cluster.noise,
    }


def draw_workload(settings: WorkloadSettings, classes: QosClasses, *, seed: int) -> Sequence[WorkloadRequest]:
    """Return the requests that every policy is given.

    Raises:
        CommandError: there are none.
        EvaluationError: they cannot be drawn.
    """
    workload = generate(settings, classes, rng=np.random.default_rng(seed))
    if not workload:
        raise CommandError("no request arrives in that time: ask for a longer duration, or a higher rate")
    return workload


def run_policies(
    policies: Sequence[str],
    workload: Sequence[WorkloadRequest],
    *,
    cluster: SimulationSettings,
    counted: Counted,
    console: Console,
    on_plan: Callable[[str, Iteration], None] | None = None,
) -> Mapping[str, PolicyRun]:
    """Run the same requests under each policy; progress is shown on `console`, `on_plan` is told of every iteration.

    Raises:
        EvaluationError: none of the requests counts.
        SimulationError: the cluster cannot run them.
    """
    runs: dict[str, PolicyRun] = {}
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        for policy in dict.fromkeys(policies):
            task = progress.add_task(policy, total=len(workload))
            settings = cluster.with_policy(policy)
            result = simulate(settings, workload, on_plan=on_plan, on_outcome=_step(progress, task))
            outcomes = counted.of(result.outcomes)
            figures = summarise(outcomes, class_names=settings.classes.by_name)
            runs[policy] = PolicyRun(outcomes, figures, by_prompt(outcomes), EngineFigures.of(result))
    return runs


def _step(progress: Progress, task: TaskID) -> Callable[[RequestOutcome], None]:
    """Return what counts a request that has ended; the bar moves once for many of them."""
    num_ended = 0

    def count(_: RequestOutcome) -> None:
        nonlocal num_ended
        num_ended += 1
        if num_ended % _REQUESTS_A_STEP == 0:
            progress.update(task, completed=num_ended)

    return count


def prompt_table(runs: Mapping[str, PolicyRun]) -> Table:
    """Return how many long prompts miss their promise under each policy, and how many short ones."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("policy")
    table.add_column(f"miss: prompts over {LONG_PROMPT_TOKENS:,} tokens", justify="right")
    table.add_column("all others", justify="right")
    for policy, run in runs.items():
        sides = (run.by_prompt["long"], run.by_prompt["short"])
        table.add_row(policy, *(f"{format_share(side.violations)} of {side.num_requests:,}" for side in sides))
    return table


def engine_table(runs: Mapping[str, PolicyRun]) -> Table:
    """Return what the replicas did under each policy."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for label in ("policy", "simulated", "iterations", "mean chunk", "busy"):
        table.add_column(label, justify="left" if label == "policy" else "right")
    for policy, run in runs.items():
        table.add_row(policy, *_cells(run.engines))
    return table


def _cells(engines: EngineFigures) -> Iterator[str]:
    chunk = engines.mean_chunk_tokens
    yield format_duration(engines.simulated_seconds)
    yield f"{engines.num_iterations:,}"
    yield "–" if chunk is None else f"{chunk:,.0f} tokens"
    yield format_share(engines.busy_fraction)
