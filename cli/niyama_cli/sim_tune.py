"""`niyama sim tune`: which settings of a policy matter on some traffic, and whether others would be better.

How settings are searched, and what is within noise, is the simulator's and `niyama_eval`'s to say; here are options and
a bar that moves with every simulation. `sim_tune_report` tells the result.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import typer
from niyama_core.policies import POLICIES
from niyama_eval.arrivals import parse_arrivals
from niyama_eval.errors import EvaluationError
from niyama_eval.goodput import Point
from niyama_eval.settings import WorkloadSettings, parse_mix
from niyama_sim.cluster import SimulationError
from niyama_sim.settings import SimulationSettings
from niyama_sim.tunables import TUNABLES, Tunable, tunables_of
from niyama_sim.tuning import Tuned, TuningSettings, TuningTrial, tune
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from niyama_cli.errors import CommandError, told_plainly
from niyama_cli.json_output import print_json
from niyama_cli.option_types import completion_of
from niyama_cli.sim_options import (
    ArrivalsOption,
    ClassesOption,
    DurationOption,
    LowImportanceOption,
    MixOption,
    NoiseOption,
    NumRequestsOption,
    PlacementOption,
    ProfileOption,
    QpsOption,
    ReplicasOption,
    SeedOption,
    WorkloadsOption,
    one_of,
)
from niyama_cli.sim_run import simulated_cluster
from niyama_cli.sim_tune_report import print_tuned, tuned_document

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_REQUESTS_A_REPLICA = 3_000

_PolicyOption = Annotated[
    str,
    typer.Option(
        "--policy",
        "-p",
        callback=one_of(POLICIES),
        autocompletion=completion_of(POLICIES),
        help=f"The policy to tune: {', '.join(POLICIES)}.",
    ),
]
_SettingOption = Annotated[
    list[str] | None,
    typer.Option(
        "--setting",
        show_default="all that it uses",
        help=f"A setting to vary, as manifests name it: {', '.join(t.key for t in TUNABLES)}; may be repeated.",
    ),
]
_SeedsOption = Annotated[int, typer.Option("--seeds", min=2, help="How many, from --seed on, to search with.")]
_FreshOption = Annotated[int, typer.Option("--fresh-seeds", min=2, help="How many more, to compare with.")]
_JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Simulations at a time.")]


@app.command(
    name="tune",
    help="Vary the settings of a policy on some traffic, say which of them matter, and recommend others only if they "
    "are better beyond noise.",
    epilog="Choose a rate at which some promises are missed: where none is, nothing can be gained. "
    "Example: niyama sim tune --workload azure-code-2024 --qps 5 --policy niyama --jobs 4",
)
def command(
    workload: WorkloadsOption,
    qps: QpsOption = None,
    policy: _PolicyOption = "niyama",
    setting: _SettingOption = None,
    replicas: ReplicasOption = 1,
    placement: PlacementOption = "niyama",
    arrivals: ArrivalsOption = "poisson",
    mix: MixOption = None,
    classes: ClassesOption = None,
    low_importance: LowImportanceOption = None,
    num_requests: NumRequestsOption = None,
    duration: DurationOption = None,
    profile: ProfileOption = "a100-llama3-8b",
    noise: NoiseOption = 0.05,
    seed: SeedOption = 1,
    seeds: _SeedsOption = 3,
    fresh_seeds: _FreshOption = 5,
    jobs: _JobsOption = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search, compare under fresh seeds, tell."""
    cluster = simulated_cluster(
        classes=classes, placement=placement, profile=profile, replicas=replicas, noise=noise, seed=seed
    )
    cluster = replace(cluster, scheduler=replace(cluster.scheduler, policy=policy))
    is_open = num_requests is None and duration is None
    with told_plainly(EvaluationError, SimulationError):
        asked = WorkloadSettings(
            workloads=tuple(workload),
            arrivals=parse_arrivals(arrivals),
            qps=qps,
            num_requests=_REQUESTS_A_REPLICA * replicas if is_open else num_requests,
            duration=duration,
            mix=None if mix is None else parse_mix(mix),
            low_importance=low_importance,
            context_tokens=cluster.profile.context_tokens,
        )
        settings = TuningSettings(
            cluster=cluster,
            workload=asked,
            tunables=_chosen(setting, cluster),
            seeds=range(seed, seed + seeds),
            fresh_seeds=range(seed + seeds, seed + seeds + fresh_seeds),
        )
        tuned = _search(settings, jobs=jobs)
    if as_json:
        print_json(tuned_document(settings, tuned))
    else:
        print_tuned(settings, tuned, console=Console(width=None if sys.stdout.isatty() else 110, highlight=False))


def _chosen(names: list[str] | None, cluster: SimulationSettings) -> tuple[Tunable, ...]:
    """Return the settings to vary.

    Raises:
        CommandError: the policy uses none, or not one that is named.
    """
    used = {tunable.key: tunable for tunable in tunables_of(cluster.scheduler, cluster.profile.predictor)}
    policy = cluster.scheduler.policy
    if not used:
        raise CommandError(f"--policy: {policy} has no setting to vary", exit_code=2)
    for name in names or ():
        if name not in used:
            raise CommandError(f"--setting: {policy} does not use {name!r}: choose from {', '.join(used)}", exit_code=2)
    return tuple(used[name] for name in dict.fromkeys(names or used))


def _search(settings: TuningSettings, *, jobs: int) -> Tuned:
    """Search under a bar."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        return tune(settings, jobs=jobs, on_trial=_teller(progress))


def _teller(progress: Progress) -> Callable[[TuningTrial, Point], None]:
    """Return what tells of a trial. How many a search needs is not known before."""
    task = progress.add_task("simulating", total=None)
    num_done = 0

    def tell(trial: TuningTrial, point: Point) -> None:
        nonlocal num_done
        num_done += 1
        progress.update(task, description=f"{num_done} simulated; seed {trial.seed}: {point.worst_violations:.1%} late")

    return tell
