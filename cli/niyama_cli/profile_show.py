"""`niyama profile show`: how long iterations take by the size of their chunk, as a table and as a picture."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from niyama_core.profiles import PROFILES, LatencyProfile
from niyama_core.units import format_duration
from niyama_eval.plots import save_png
from niyama_eval.profile_curves import ChunkPoint, Company, SlackPoint, chunk_curve, slack_curve
from niyama_eval.profile_plots import profile_plot
from niyama_runtime.profile_file import find_profile
from rich import box
from rich.console import Console
from rich.table import Table

from niyama_cli.errors import told_plainly
from niyama_cli.json_output import print_json
from niyama_cli.option_types import completion_of
from niyama_cli.sim_options import known_profile

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command(
    help="Show the latency curve of a profile, and its throughput against the size of chunks.",
    epilog="Example: niyama profile show a100-llama3-8b --decodes 64 --plot curve.png",
)
def show(
    profile: Annotated[
        str,
        typer.Argument(
            metavar="PROFILE",
            callback=known_profile,
            autocompletion=completion_of(PROFILES),
            help=f"One of {', '.join(PROFILES)}, or a profile file.",
        ),
    ],
    decodes: Annotated[int, typer.Option("--decodes", min=0, max=4096, help="Sequences that decode beside it.")] = 32,
    context: Annotated[
        int, typer.Option("--context", min=1, max=1_000_000, help="Tokens of each of them in the KV cache.")
    ] = 1500,
    prefill_context: Annotated[
        int, typer.Option("--prefill-context", min=0, max=1_000_000, help="Tokens of the prompt that are computed.")
    ] = 0,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw it as a PNG, with fewer and more decodes, too."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compute the curves, draw, tell."""
    shown = find_profile(profile)
    company = Company(decodes, context, prefill_context)
    if plot is not None:
        companies = [replace(company, num_decodes=num) for num in sorted({0, decodes, 4 * decodes})]
        with told_plainly(OSError):
            plot.parent.mkdir(parents=True, exist_ok=True)
            save_png(profile_plot(shown, companies), plot)
    chunks, slacks = chunk_curve(shown, company), slack_curve(shown, company)
    if as_json:
        print_json(_document(shown, company, chunks=chunks, slacks=slacks))
    else:
        _print(shown, company, chunks=chunks, slacks=slacks)


def _print(
    profile: LatencyProfile, company: Company, *, chunks: Sequence[ChunkPoint], slacks: Sequence[SlackPoint]
) -> None:
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    console.print(f"[bold]{profile.name}[/]: {profile.model} on {profile.gpu}", markup=True)
    console.print(f"KV cache {profile.kv_capacity_tokens:,} tokens, context {profile.context_tokens:,} tokens")
    console.print(f"source: {profile.source}", markup=False)
    console.print(_chunk_table(company, chunks))
    console.print(_slack_table(slacks))


def _chunk_table(company: Company, points: Sequence[ChunkPoint]) -> Table:
    beside = (
        f"{company.num_decodes} decodes of {company.context_tokens:,} tokens" if company.num_decodes else "no decode"
    )
    table = _table(
        "prompt tokens", "predicted", "law", "difference", "prompt tokens/s", title=f"Iterations with {beside}"
    )
    for point in points:
        table.add_row(
            f"{point.chunk_tokens:,}",
            f"{1e3 * point.predicted_seconds:.1f} ms",
            f"{1e3 * point.law_seconds:.1f} ms",
            f"{point.predicted_seconds / point.law_seconds - 1:+.1%}",
            f"{point.prefill_tokens_per_second:,.0f}",
        )
    return table


def _slack_table(points: Sequence[SlackPoint]) -> Table:
    table = _table("expected within", "prompt tokens", "tokens/s", title="The largest chunk in a time")
    for point in points:
        tokens = "decodes do not fit" if point.chunk_tokens is None else f"{point.chunk_tokens:,}"
        table.add_row(format_duration(point.slack_seconds), tokens, f"{point.prefill_tokens_per_second:,.0f}")
    return table


def _table(*labels: str, title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for label in labels:
        table.add_column(label, justify="right")
    return table


def _document(
    profile: LatencyProfile, company: Company, *, chunks: Sequence[ChunkPoint], slacks: Sequence[SlackPoint]
) -> dict[str, object]:
    return {
        "profile": profile.name,
        "model": profile.model,
        "gpu": profile.gpu,
        "kv_capacity_tokens": profile.kv_capacity_tokens,
        "context_tokens": profile.context_tokens,
        "source": profile.source,
        **asdict(company),
        "iterations": [asdict(point) for point in chunks],
        "largest_chunks": [asdict(point) for point in slacks],
    }
