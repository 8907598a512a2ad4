"""`niyama assess`: what traffic looks like, and which classes it suggests.

What is measured and why a class is suggested is `niyama_eval`'s to say; here are options, tables and files.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from niyama_core.profiles import LatencyProfile
from niyama_core.units import format_duration
from niyama_eval.assessment import Assessment, LengthFacts, RateFacts, assess, observed
from niyama_eval.class_manifest import class_manifest, mix_option
from niyama_eval.errors import EvaluationError
from niyama_eval.figures import WORKLOADS, load_figures
from niyama_eval.planning_plots import traffic_plot
from niyama_eval.plots import save_png
from niyama_eval.sources import load_source
from niyama_eval.suggestion import Suggestion, remarks, suggest_classes
from niyama_eval.tables import promise_in_words
from niyama_runtime.profile_file import find_profile
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from niyama_cli.errors import told_plainly
from niyama_cli.json_output import print_json
from niyama_cli.option_types import completion_of
from niyama_cli.sim_options import ProfileOption, SeedOption

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command(
    help="Say what traffic looks like (rates, lengths, bursts), and which classes it suggests.",
    epilog="Example: niyama assess AzureLLMInferenceTrace_code.csv --write classes.yaml --plot traffic.png",
)
def command(
    trace: Annotated[
        str,
        typer.Argument(
            metavar="TRACE",
            autocompletion=completion_of(WORKLOADS),
            help=f"A trace file in its original form, plain or gzip, or one of {', '.join(WORKLOADS)}.",
        ),
    ],
    profile: ProfileOption = "a100-llama3-8b",
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FILE", help="Write the suggested classes as a manifest.")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw the traffic as a PNG.")] = None,
    seed: SeedOption = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read, measure, suggest, tell."""
    replica = find_profile(profile)
    with told_plainly(EvaluationError):
        requests = observed(load_source(trace), seed=seed)
    facts = assess(requests)
    suggestions = suggest_classes(requests, facts, profile=replica)
    with told_plainly(OSError):
        if write is not None:
            write.parent.mkdir(parents=True, exist_ok=True)
            write.write_text(class_manifest(facts.name, suggestions, profile=replica), encoding="utf-8")
        if plot is not None:
            plot.parent.mkdir(parents=True, exist_ok=True)
            save_png(traffic_plot(requests, facts, source=_source(trace)), plot)
    if as_json:
        print_json(_document(facts, suggestions, profile=replica))
        return
    _print(facts, suggestions, profile=replica)
    if write is not None:
        traffic = f"--workload {trace}" if trace in WORKLOADS else f"--trace {trace}"
        rate = "" if facts.rates else " --qps RATE"
        mix = f" --mix {mix_option(suggestions)}" if len(suggestions) > 1 else ""
        typer.echo(f"\nNext: niyama capacity {traffic}{rate} --classes {write}{mix} --profile {profile}")


def _print(facts: Assessment, suggestions: Sequence[Suggestion], *, profile: LatencyProfile) -> None:
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    console.print(_length_table(facts))
    if facts.rates is not None:
        console.print(_rate_table(facts.rates))
    for remark in remarks(facts, profile):
        _print_point(console, remark)
    console.print("\n[bold]Suggested classes[/]")
    for one in suggestions:
        promise = promise_in_words(one.qos_class.slo)
        console.print(f"[bold]{one.qos_class.name}[/], {one.share:.1%} of the requests: {promise}")
        for reason in one.reasons:
            _print_point(console, reason)


def _print_point(console: Console, sentence: str) -> None:
    """Print a sentence with a dash before it and its further lines indented."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row("-", sentence)
    console.print(Padding(grid, (0, 0, 0, 1)))


def _length_table(facts: Assessment) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = f"{facts.name}: {facts.num_requests:,} requests"
    for label in ("tokens", "mean", "p50", "p90", "p99", "longest"):
        table.add_column(label, justify="left" if label == "tokens" else "right")
    table.add_row("prompts", *_length_cells(facts.prompts))
    table.add_row("answers", *_length_cells(facts.outputs))
    return table


def _length_cells(lengths: LengthFacts) -> Iterator[str]:
    for tokens in (lengths.mean, lengths.p50, lengths.p90, lengths.p99, lengths.longest):
        yield f"{tokens:,.0f}"


def _rate_table(rates: RateFacts) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = f"arrivals: {rates.mean_qps:.2f} requests/s over {format_duration(rates.seconds)}"
    for label in ("window", "busiest", "times the mean", "burstiness (Poisson: 1)"):
        table.add_column(label, justify="right")
    for window, peak in rates.peak_qps.items():
        dispersion = rates.dispersion.get(window)
        table.add_row(
            format_duration(window),
            f"{peak:.2f}/s",
            f"{rates.peak_to_mean(window):.1f}",
            "–" if dispersion is None else f"{dispersion:.1f}",
        )
    return table


def _document(facts: Assessment, suggestions: Sequence[Suggestion], *, profile: LatencyProfile) -> dict[str, object]:
    return {
        **facts.to_json(),
        "remarks": list(remarks(facts, profile)),
        "profile": profile.name,
        "mix": mix_option(suggestions),
        "classes": [
            {
                "name": one.qos_class.name,
                "share": one.share,
                "promise": promise_in_words(one.qos_class.slo),
                "reasons": list(one.reasons),
            }
            for one in suggestions
        ],
        "manifest": class_manifest(facts.name, suggestions, profile=profile),
    }


def _source(trace: str) -> str:
    """Return the line below a picture: where its figures come from."""
    return f"drawn from figures of {load_figures(trace).source}" if trace in WORKLOADS else f"from {Path(trace).name}"
