"""The options of `niyama bench`, each with its help; a load has many."""

from pathlib import Path
from typing import Annotated

import typer
from niyama_eval.figures import WORKLOADS

from niyama_cli.option_types import completion_of, seconds

__all__ = [
    "ArrivalsOption",
    "ClassesOption",
    "CountOption",
    "DurationOption",
    "JsonOption",
    "LowImportanceOption",
    "ManifestOption",
    "MixOption",
    "OutOption",
    "PatienceOption",
    "PlotsOption",
    "RateOption",
    "ReplayOption",
    "SeedOption",
    "TraceOption",
    "WorkloadOption",
]

TraceOption = Annotated[
    list[Path] | None,
    typer.Option(help="Replay this trace file, at its own times unless --qps says otherwise; may be repeated."),
]
WorkloadOption = Annotated[
    list[str] | None,
    typer.Option(
        autocompletion=completion_of(WORKLOADS),
        help=f"Poisson arrivals with the lengths of {', '.join(WORKLOADS)}, or of a trace file; may be repeated.",
    ),
]
RateOption = Annotated[float | None, typer.Option(help="Mean requests per second of all together.")]
DurationOption = Annotated[
    float | None, typer.Option(parser=seconds, metavar="DURATION", help="How long requests arrive: 30s.")
]
CountOption = Annotated[int | None, typer.Option(help="How many requests, in place of --duration.")]
ArrivalsOption = Annotated[
    str | None, typer.Option(help="poisson, trace, trace:600 or diurnal:2,5,900, if not as above.")
]
ManifestOption = Annotated[
    Path | None, typer.Option("--file", "-f", help="The cluster's manifest, for its classes; - is standard input.")
]
ClassesOption = Annotated[
    list[str] | None, typer.Option("--class", "-c", help="A class, or class:weight; may be repeated.")
]
MixOption = Annotated[str | None, typer.Option(help="Weights in the order of the classes: 1:1:2.")]
LowImportanceOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Share of every class that may give way; else the class decides.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="The same seed sends the same load.")]
ReplayOption = Annotated[
    bool, typer.Option("--replay", help="Answers get the very lengths of the load, if the cluster allows it.")
]
PatienceOption = Annotated[
    float | None,
    typer.Option(parser=seconds, metavar="DURATION", help="Give up what is open so long after the last arrival."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and no table.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write the figures, as results.json, into this folder.")
]
PlotsOption = Annotated[
    Path | None, typer.Option("--plots", metavar="DIR", help="Write plots, a report and results.json into this folder.")
]
