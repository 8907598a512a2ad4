"""`niyama sim compare`: several policies, placements or clusters on the very same requests, and what is chance.

`niyama sim run` shows one run of each policy in full; here runs are repeated over seeds, and every difference is told
with its confidence interval.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from niyama_core.units import format_duration
from niyama_eval.arrivals import parse_arrivals
from niyama_eval.contrast import Contrast, contrasts, mean_figures
from niyama_eval.counted import Counted
from niyama_eval.errors import EvaluationError
from niyama_eval.results import versions
from niyama_eval.run_figures import MEASURES, Figures
from niyama_eval.settings import WorkloadSettings, parse_mix
from niyama_eval.tables import format_share
from niyama_sim.cluster import SimulationError
from niyama_sim.contest import Contest, Trial
from rich import box
from rich.console import Console
from rich.table import Table

from niyama_cli.errors import CommandError, told_plainly
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
    QpsOption,
    ReplicasOption,
    SeedOption,
    WarmUpOption,
    WorkloadsOption,
)
from niyama_cli.sim_run import simulated_cluster, workload_facts

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_PlotOption = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw the differences in violations as a PNG.")
]

_READING = (
    "Mean over the seeds, and the mean of the differences seed by seed with the 95 % interval of Student's t. Less is "
    "better in every row; rows that are zero for both are left out."
)


@app.command(
    name="compare",
    help="Set policies, placements or clusters against each other on the same requests, over several seeds, and tell "
    "differences from chance. The first is what the others are compared with. "
    "(`niyama sim run` shows a single run of each policy in full.)",
    epilog="Example: niyama sim compare --workload azure-code-2024 --qps 4.5 --policy qoserve --policy niyama --jobs 4",
)
def command(
    workload: WorkloadsOption,
    qps: QpsOption = None,
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
    seeds: SeedsOption = 5,
    jobs: JobsOption = 1,
    plot: _PlotOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run every contender under the requests of every seed, tell."""
    cluster = simulated_cluster(
        classes=classes, placement="niyama", profile=profile, replicas=replicas, noise=noise, seed=seed
    )
    contenders = read_usual(policy, cluster)
    if len(contenders) < 2:
        raise CommandError("compare needs two contenders or more: repeat --policy", exit_code=2)
    is_open = num_requests is None and duration is None
    with told_plainly(EvaluationError, SimulationError, OSError):
        asked = WorkloadSettings(
            workloads=tuple(workload),
            arrivals=parse_arrivals(arrivals),
            qps=qps,
            num_requests=REQUESTS_A_REPLICA * replicas if is_open else num_requests,
            duration=duration,
            mix=None if mix is None else parse_mix(mix),
            low_importance=low_importance,
            # All are given the same requests, so each must be able to hold them.
            context_tokens=min(contender.profile.context_tokens for contender in contenders.values()),
        )
        counted = Counted(warm_up, cool_down)
        contest = Contest(contenders=contenders, workload=asked, seeds=range(seed, seed + seeds), counted=counted)
        found = _by_contender(hold_under_a_bar(contest, jobs=jobs))
        if plot is not None:
            _write_plot(plot, contest, found=found)
    if as_json:
        facts = {**workload_facts(asked, cluster), "qps": qps, "seeds": list(contest.seeds), **counted.to_json()}
        print_json({**facts, "contenders": contenders_facts(contest), **_document(found), "versions": versions()})
    else:
        _print(contest, found)


def _by_contender(found: Mapping[Trial, Figures]) -> dict[str, list[Figures]]:
    """Return the runs of each contender, in the order of the seeds."""
    runs: dict[str, list[Figures]] = {}
    for trial, figures in found.items():
        runs.setdefault(trial.contender, []).append(figures)
    return runs


def _pairs(found: Mapping[str, Sequence[Figures]]) -> Iterator[tuple[str, Sequence[Contrast]]]:
    """Yield each contender but the first, and how it differs from the first."""
    (_, first), *others = found.items()
    for name, runs in others:
        yield name, list(contrasts(first, runs))


def _write_plot(path: Path, contest: Contest, *, found: Mapping[str, Sequence[Figures]]) -> None:
    # Imports matplotlib, which takes a second: only who asks for plots waits for it.
    from niyama_eval import contest_plots, plots

    source = ", ".join(Path(name).name for name in contest.workload.workloads)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = contest_plots.difference_plot(dict(_pairs(found)), first=next(iter(found)), source=source)
    plots.save_png(figure, path)


def _print(contest: Contest, found: Mapping[str, Sequence[Figures]]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    first = next(iter(found))
    for name, differences in _pairs(found):
        console.print(_table(differences, first=first, other=name))
    num_seeds = len(contest.seeds)
    console.print(f"{num_seeds} seeds. {_READING}" if num_seeds > 1 else f"One seed: chance is unknown. {_READING}")


def _table(differences: Sequence[Contrast], *, first: str, other: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"{other}, compared with {first}", title_justify="left")
    table.add_column("")
    table.add_column("requests")
    for label in ("first", "other", "difference", "95 % interval"):
        table.add_column(label, justify="right")
    table.add_column("")
    measure = ""
    for one in differences:
        if one.first == one.other == 0:
            continue
        if one.measure != measure and measure:
            table.add_section()
        title = "" if one.measure == measure else MEASURES[one.measure].title
        measure = one.measure
        table.add_row(title, one.group, *_cells(one), one.verdict)
    return table


def _cells(one: Contrast) -> Iterator[str]:
    """Yield both figures, their difference and its interval, in the unit of the measure."""
    is_share, change = MEASURES[one.measure].is_share, one.difference
    for value in (one.first, one.other):
        yield format_share(value) if is_share else format_duration(value)
    scale, digits, unit = (100.0, 2, " points") if is_share else (1.0, 3, " s")
    yield f"{scale * change.mean:+.{digits}f}{unit}"
    if change.low is None or change.high is None:
        yield "–"
    else:
        yield f"{scale * change.low:+.{digits}f} to {scale * change.high:+.{digits}f}"


def _document(found: Mapping[str, Sequence[Figures]]) -> Mapping[str, object]:
    """Return the figures of every contender, by seed and in the mean, and every difference from the first."""
    return {
        "figures": {name: {"mean": mean_figures(runs), "by_seed": runs} for name, runs in found.items()},
        "compared_with": next(iter(found)),
        "differences": {
            name: [{**asdict(one), "verdict": one.verdict} for one in differences]
            for name, differences in _pairs(found)
        },
    }
