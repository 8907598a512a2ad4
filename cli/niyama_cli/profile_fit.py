"""`niyama profile fit`: iteration records to a profile file, with a table of how far its predictor is off."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from niyama_core.profile_document import profile_document
from niyama_core.profiles import LatencyProfile
from niyama_eval.errors import EvaluationError
from niyama_eval.iteration_records import read_records
from niyama_eval.prediction_errors import ErrorFigures
from niyama_runtime.profile_file import find_profile
from rich import box
from rich.console import Console
from rich.table import Table

from niyama_cli.errors import CommandError, told_plainly
from niyama_cli.json_output import print_json
from niyama_cli.profile_options import (
    ContextOption,
    DataArgument,
    GpuOption,
    KvCapacityOption,
    LikeOption,
    ModelOption,
    NameOption,
    OutputOption,
    SimulatedOption,
)

if TYPE_CHECKING:
    from niyama_agent.profile_fit import FitReport

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command(
    help="Fit a latency profile to iteration records: a random forest, compiled to curves that never fall.",
    epilog="Example: niyama profile fit iterations.csv --like a100-llama3-8b --gpu '1x L40S' -o my.json",
)
def fit(
    data: DataArgument,
    output: OutputOption,
    like: LikeOption = "a100-llama3-8b",
    name: NameOption = None,
    model: ModelOption = None,
    gpu: GpuOption = None,
    kv_capacity: KvCapacityOption = None,
    context: ContextOption = None,
    simulated: SimulatedOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read, fit, write, tell."""
    base = find_profile(like)
    base = replace(
        base,
        name=name or output.name.split(".")[0],
        model=model or base.model,
        gpu=gpu or base.gpu,
        kv_capacity_tokens=kv_capacity or base.kv_capacity_tokens,
        context_tokens=context or base.context_tokens,
    )
    with told_plainly(EvaluationError):
        records = read_records(data)
    try:
        from niyama_agent.profile_fit import fit_profile
    except ModuleNotFoundError as error:
        raise CommandError(f"fitting needs {error.name}: pip install 'niyama[profiler]'") from error
    with Console(stderr=True).status(f"fitting to {len(records):,} iterations"):
        profile, report = fit_profile(records, base, simulated=simulated)
    with told_plainly(OSError):
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(profile_document(profile), indent=1) + "\n", encoding="utf-8")
    if as_json:
        print_json({"profile": profile.name, "file": str(output), **asdict(report)})
    else:
        _print(profile, report, output=output)


def _print(profile: LatencyProfile, report: "FitReport", *, output: Path) -> None:
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    title = f"{profile.name}: {report.num_records:,} iterations, of which {report.num_held_out:,} are held out"
    console.print(_error_table(report.by_predictor, head="predictor", title=title))
    console.print(_error_table(report.by_region, head="compiled, by kind of iteration"))
    if report.num_stalls:
        console.print(f"Left out as stalls, far off all that are like them: {report.num_stalls:,} records.")
    console.print(
        f"Errors against {report.reference}; of 100 measured times, 95 are within {report.noise_p95:.1%} of it.\n"
        f"Written: {output}. Next: niyama profile show {output}"
    )


def _error_table(rows: Mapping[str, ErrorFigures], *, head: str, title: str | None = None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column(head, min_width=30)
    for label in ("records", "p50 error", "p95 error", "bias", "too short, p99"):
        table.add_column(label, justify="right", min_width=9)
    for name, figures in rows.items():
        table.add_row(
            name,
            f"{figures.num_records:,}",
            f"{figures.p50:.1%}",
            f"{figures.p95:.1%}",
            f"{figures.bias:+.1%}",
            f"{figures.under_p99:.1%}",
        )
    return table
