"""`niyama sim sweep`: what becomes of several policies or clusters as the rate grows, as a table, pictures and JSON."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from niyama_core.units import format_duration
from niyama_eval.arrivals import parse_arrivals
from niyama_eval.counted import Counted
from niyama_eval.errors import EvaluationError
from niyama_eval.goodput import MAX_LATE_TOKENS, MAX_VIOLATIONS
from niyama_eval.results import versions
from niyama_eval.run_figures import Figures
from niyama_eval.settings import WorkloadSettings, parse_mix
from niyama_eval.sweep import SweepPoint, parse_rates
from niyama_eval.tables import format_share
from niyama_sim.cluster import SimulationError
from niyama_sim.contest import Contest, Trial
from rich import box
from rich.console import Console
from rich.table import Table

from niyama_cli.errors import told_plainly
from niyama_cli.json_output import print_json
from niyama_cli.sim_contest import (
    REQUESTS_A_REPLICA,
    ContendersOption,
    JobsOption,
    SeedsOption,
    contenders_facts,
    hold_under_a_bar,
    read_usual,
)
from niyama_cli.sim_options import (
    ArrivalsOption,
    ClassesOption,
    CoolDownOption,
    DurationOption,
    LowImportanceOption,
    MixOption,
    NoiseOption,
    NumRequestsOption,
    ProfileOption,
    ReplicasOption,
    SeedOption,
    WarmUpOption,
    WorkloadsOption,
)
from niyama_cli.sim_run import simulated_cluster, workload_facts

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_RatesOption = Annotated[
    str,
    typer.Option(
        "--qps",
        metavar="2,2.5,4|2:6:0.5",
        help="Rates of the sweep, in requests per second to the whole cluster: a list, or from:to:step.",
    ),
]
_PlotsOption = Annotated[
    Path | None,
    typer.Option("--plots", metavar="FOLDER", help="Write the curves as PNG: violations, latency, late tokens."),
]

_Curves = Mapping[str, Sequence[SweepPoint]]


@app.command(
    name="sweep",
    help="Show violations, late tokens, medians and p99 of several policies or clusters over a range of rates, with "
    "long and short prompts apart.",
    epilog="Example: niyama sim sweep --workload azure-code-2024 --qps 2:6:0.5 --policy qoserve --policy niyama "
    "--plots out/sweep --jobs 4",
)
def command(
    workload: WorkloadsOption,
    qps: _RatesOption,
    policy: ContendersOption = None,
    replicas: ReplicasOption = 1,
    arrivals: ArrivalsOption = "poisson",
    mix: MixOption = None,
    classes: ClassesOption = None,
    low_importance: LowImportanceOption = None,
    num_requests: NumRequestsOption = None,
    duration: DurationOption = None,
    warm_up: WarmUpOption = 0.0,
    cool_down: CoolDownOption = 0.0,
    profile: ProfileOption = "a100-llama3-8b",
    noise: NoiseOption = 0.05,
    seed: SeedOption = 1,
    seeds: SeedsOption = 1,
    jobs: JobsOption = 1,
    plots: _PlotsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run every contender at every rate, tell."""
    cluster = simulated_cluster(
        classes=classes, placement="niyama", profile=profile, replicas=replicas, noise=noise, seed=seed
    )
    contenders = read_usual(policy, cluster)
    is_open = num_requests is None and duration is None
    with told_plainly(EvaluationError, SimulationError, OSError):
        rates = parse_rates(qps)
        asked = WorkloadSettings(
            workloads=tuple(workload),
            arrivals=parse_arrivals(arrivals),
            qps=rates[0],
            num_requests=REQUESTS_A_REPLICA * replicas if is_open else num_requests,
            duration=duration,
            mix=None if mix is None else parse_mix(mix),
            low_importance=low_importance,
            # All are given the same requests, so each must be able to hold them.
            context_tokens=min(contender.profile.context_tokens for contender in contenders.values()),
        )
        counted = Counted(warm_up, cool_down)
        contest = Contest(
            contenders=contenders, workload=asked, seeds=range(seed, seed + seeds), rates=rates, counted=counted
        )
        curves = _curves(contest, hold_under_a_bar(contest, jobs=jobs))
        if plots is not None:
            _write_plots(plots, contest, curves=curves)
    if as_json:
        facts = {**workload_facts(asked, cluster), "seeds": list(contest.seeds), "rates": rates, **counted.to_json()}
        print_json(
            {**facts, "contenders": contenders_facts(contest), "curves": _document(curves), "versions": versions()}
        )
    else:
        console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
        console.print(_table(contest, curves))
        console.print(_READING)


_READING = (
    "miss: do not keep their promise, by the published rule; late tokens: of the worst interactive class. "
    "Times are median / p99 of the TTFT of interactive classes and of the TTLT of batch classes."
)


def _curves(contest: Contest, found: Mapping[Trial, Figures]) -> _Curves:
    return {
        name: [SweepPoint(qps, [found[Trial(name, seed, qps)] for seed in contest.seeds]) for qps in contest.rates]
        for name in contest.contenders
    }


def _table(contest: Contest, curves: _Curves) -> Table:
    """Return a row for each contender at each rate."""
    class_names = list(next(iter(contest.contenders.values())).classes.by_name)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("QPS", justify="right")
    table.add_column("")
    for label in ("miss", "95 % interval", "important", "long", "short", "late tokens", *class_names):
        table.add_column(label, justify="right")
    for place, qps in enumerate(contest.rates):
        for number, (name, points) in enumerate(curves.items()):
            table.add_row(f"{qps:g}" if number == 0 else "", name, *_cells(points[place], class_names))
        table.add_section()
    return table


def _cells(point: SweepPoint, class_names: Sequence[str]) -> Iterator[str]:
    mean = point.mean
    violations = mean["violations"]
    overall = point.interval("violations", "all")
    yield format_share(violations.get("all"))
    yield "–" if overall is None or overall.ci is None else f"{100 * overall.ci[0]:.2f} to {100 * overall.ci[1]:.2f}"
    for group in ("important", "long prompts", "short prompts"):
        yield format_share(violations.get(group))
    yield format_share(max(mean["late_tokens"].values(), default=None))
    for name in class_names:
        times = [mean[measure].get(f"class {name}") for measure in ("p50_s", "p99_s")]
        yield " / ".join("–" if time is None else format_duration(time) for time in times)


def _write_plots(folder: Path, contest: Contest, *, curves: _Curves) -> None:
    """Write the pictures of a sweep into a folder."""
    # Imports matplotlib, which takes a second: only who asks for plots waits for it.
    from niyama_eval import contest_plots, plots

    classes = next(iter(contest.contenders.values())).classes
    source = ", ".join(Path(name).name for name in contest.workload.workloads)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "violations": contest_plots.violations_plot(curves, limit=MAX_VIOLATIONS, source=source),
        "latency": contest_plots.latency_plot(curves, classes, source=source),
        "late-tokens": contest_plots.late_tokens_plot(curves, classes, limit=MAX_LATE_TOKENS, source=source),
    }
    for name, figure in figures.items():
        plots.save_png(figure, folder / f"{name}.png")


def _document(curves: _Curves) -> Mapping[str, object]:
    return {
        name: [{"qps": point.qps, "mean": point.mean, "by_seed": point.by_seed} for point in points]
        for name, points in curves.items()
    }
