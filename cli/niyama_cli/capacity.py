"""`niyama capacity`: the fewest replicas that keep every promise, next to silos and to FCFS, and what sharing saves.

How the fewest are searched for is the simulator's to say (docs/capacity.md); here are options, a bar that moves with
every simulation, and what is compared. The figures are told by `capacity_report`.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from niyama_core.profiles import LatencyProfile
from niyama_eval.arrivals import Arrivals, Poisson, Replayed, parse_arrivals
from niyama_eval.errors import EvaluationError
from niyama_eval.goodput import Point
from niyama_eval.planning_plots import capacity_plot
from niyama_eval.plots import save_png
from niyama_eval.requirement import Measure, Requirement
from niyama_eval.settings import WorkloadSettings, parse_mix
from niyama_eval.sources import FileSource, load_source
from niyama_sim.capacity import (
    CapacitySettings,
    Fleet,
    Trial,
    draw_requests,
    find_capacity,
    shared_fcfs,
    silo_fleets,
)
from niyama_sim.cluster import SimulationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from niyama_cli.capacity_options import (
    BaselinePlacementOption,
    BaselinesOption,
    GpuHourCostOption,
    JobsOption,
    MostOption,
    PlotOption,
    RuleOption,
    SeedsOption,
    SharedPlacementOption,
    SharedPolicyOption,
    TrafficOption,
    ViolationsOption,
    WhenOption,
)
from niyama_cli.capacity_report import Offer, Prices, Report, curves, document, print_report
from niyama_cli.class_doubts import refuse_impossible
from niyama_cli.errors import CommandError, told_plainly
from niyama_cli.json_output import print_json
from niyama_cli.sim_options import (
    ClassesOption,
    DurationOption,
    LowImportanceOption,
    MixOption,
    NoiseOption,
    NumRequestsOption,
    ProfileOption,
    QpsOption,
    SeedOption,
)
from niyama_cli.sim_run import simulated_cluster

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_DEFAULT_SECONDS = 3_600.0
_OURS = "shared"


@app.command(
    help="Find the fewest replicas that keep every promise on some traffic, next to silos and to first come, first "
    "served, and what sharing saves a month.",
    epilog="Example: niyama capacity --trace AzureLLMInferenceTrace_conv.csv --classes classes.yaml --jobs 4",
)
def capacity(
    trace: TrafficOption,
    classes: ClassesOption = None,
    profile: ProfileOption = "a100-llama3-8b",
    qps: QpsOption = None,
    arrivals: WhenOption = None,
    mix: MixOption = None,
    low_importance: LowImportanceOption = None,
    num_requests: NumRequestsOption = None,
    duration: DurationOption = None,
    rule: RuleOption = "published",
    violations: ViolationsOption = 0.01,
    policy: SharedPolicyOption = "niyama",
    placement: SharedPlacementOption = "niyama",
    baseline_placement: BaselinePlacementOption = "round-robin",
    baselines: BaselinesOption = True,
    gpu_hour_cost: GpuHourCostOption = 2.5,
    most: MostOption = 64,
    noise: NoiseOption = 0.05,
    seed: SeedOption = 1,
    seeds: SeedsOption = 3,
    jobs: JobsOption = 1,
    plot: PlotOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search for each way to serve, compare, tell."""
    cluster = simulated_cluster(
        classes=classes, placement=placement, profile=profile, replicas=1, noise=noise, seed=seed
    )
    with told_plainly(EvaluationError, SimulationError):
        when = _arrivals(trace, arrivals, has_rate=qps is not None)
        has_end = num_requests is not None or duration is not None or isinstance(when, Replayed)
        workload = WorkloadSettings(
            workloads=tuple(trace),
            arrivals=when,
            qps=qps,
            num_requests=num_requests,
            duration=duration if has_end else _DEFAULT_SECONDS,
            mix=None if mix is None else parse_mix(mix),
            low_importance=low_importance,
            context_tokens=cluster.profile.context_tokens,
        )
        settings = CapacitySettings(
            cluster=cluster,
            workload=workload,
            measure=Measure(rule, violations),
            seeds=range(seed, seed + seeds),
            most=most,
        )
        ours = Fleet(_OURS, replace(cluster.scheduler, policy=policy), placement)
        prices = Prices(_amount(gpu_hour_cost), _gpus_per_replica(cluster.profile))
        report = _report(settings, ours, baselines=baseline_placement if baselines else None, prices=prices, jobs=jobs)
    _tell(report, plot=plot, as_json=as_json, source=_source(trace, cluster.profile))


def _report(settings: CapacitySettings, ours: Fleet, *, baselines: str | None, prices: Prices, jobs: int) -> Report:
    """Search for the fewest replicas of ours, and of the baselines if they have a placement."""
    console = Console(stderr=True)
    requests = draw_requests(settings, seed=settings.seeds[0])
    tolerated = settings.measure.max_violations
    refuse_impossible(requests, settings.cluster.profile, tolerated=tolerated, console=console)
    present = {one.promise.qos_class for one in requests}
    others = () if baselines is None else _others(settings, present, placement=baselines)
    found = _search(settings, (ours, *others), jobs=jobs, console=console)
    return Report(settings, _offers(found, policy=ours.scheduler.policy), requests=requests, prices=prices)


def _tell(report: Report, *, plot: Path | None, as_json: bool, source: str) -> None:
    """Draw, print, and fail when ours keeps its promises with no number of replicas."""
    if plot is not None:
        limit = report.settings.measure.max_violations
        figure = capacity_plot(curves(report), limit=limit, class_names=report.class_names, source=source)
        with told_plainly(OSError):
            plot.parent.mkdir(parents=True, exist_ok=True)
            save_png(figure, plot)
    if as_json:
        print_json(document(report))
    else:
        print_report(report, Console(width=None if sys.stdout.isatty() else 110, highlight=False))
    if report.offers[0].num_replicas is None:
        raise typer.Exit(1)


def _arrivals(trace: Sequence[str], text: str | None, *, has_rate: bool) -> Arrivals:
    """Return when requests come: at the times of the traffic, where it has any and the rate does not say otherwise."""
    if text is not None:
        return parse_arrivals(text)
    sources = [load_source(name) for name in trace]
    has_times = all(source.period is not None for source in sources)
    are_files = all(isinstance(source, FileSource) for source in sources)
    return Replayed() if has_times and (are_files or not has_rate) else Poisson()


def _others(settings: CapacitySettings, present: set[str], *, placement: str) -> tuple[Fleet, ...]:
    """Return FCFS on shared replicas, and a silo for every class that has requests, if there are several."""
    classes = settings.cluster.classes
    silos = [pool for pool in silo_fleets(classes, placement=placement) if pool.qos_class in present]
    return shared_fcfs(classes, placement=placement), *(silos if len(silos) > 1 else ())


def _offers(found: Mapping[str, Requirement], *, policy: str) -> tuple[Offer, ...]:
    """Return what there is to choose from, ours first; the pools of the silos are one offer."""
    pools = {name.removeprefix("silo "): one for name, one in found.items() if name.startswith("silo ")}
    shared = [Offer(_label(name, policy), {"": one}) for name, one in found.items() if not name.startswith("silo ")]
    return *shared, *([Offer("fcfs, silos", pools)] if pools else [])


def _label(name: str, policy: str) -> str:
    return f"{policy}, shared" if name == _OURS else name


def _search(
    settings: CapacitySettings, fleets: Sequence[Fleet], *, jobs: int, console: Console
) -> Mapping[str, Requirement]:
    """Search under a bar."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        tell = _teller(settings, progress)
        return find_capacity(settings, fleets, jobs=jobs, on_trial=tell)


def _teller(settings: CapacitySettings, progress: Progress) -> Callable[[Trial, Point], None]:
    """Return what tells of a trial. How many a search needs is not known before."""
    task = progress.add_task("simulating", total=None)
    num_done = 0

    def tell(trial: Trial, point: Point) -> None:
        nonlocal num_done
        num_done += 1
        verdict = "fail" if settings.measure.failures(point) else "pass"
        run = f"{trial.fleet.name}: {trial.num_replicas} replicas {verdict}, seed {trial.seed}"
        progress.update(task, description=f"{num_done} simulated; {run}")

    return tell


def _amount(cost: float) -> float:
    """Return a cost.

    Raises:
        CommandError: it is no number that a sum could be made of.
    """
    if not math.isfinite(cost):
        raise CommandError(f"--gpu-hour-cost: {cost} is no amount: write for example 2.5", exit_code=2)
    return cost


def _gpus_per_replica(profile: LatencyProfile) -> int:
    """Return the GPUs that a profile counts, as in `2x A100-80GB`.

    Raises:
        CommandError: it counts none.
    """
    number = profile.gpu.partition("x")[0]
    if not number.isdigit():
        raise CommandError(f"profile {profile.name}: gpu: {profile.gpu!r} counts no GPUs: write for example 2x A100")
    return int(number)


def _source(trace: Sequence[str], profile: LatencyProfile) -> str:
    return f"{', '.join(Path(name).name for name in trace)}; simulated on replicas of {profile.name}"
