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
RateOption = Annotated[float | None, typer.Option(help="Requests per second on average, of all workloads together.")]
DurationOption = Annotated[
    float | None, typer.Option(parser=seconds, metavar="DURATION", help="For how long requests arrive, such as 30s.")
]
CountOption = Annotated[int | None, typer.Option(help="How many requests to send, in place of --duration.")]
ArrivalsOption = Annotated[
    str | None,
    typer.Option(
        help="When requests arrive: poisson, trace (at its own times), trace:600 (from 600 s into it on), "
        "diurnal:2,5,900 (2 and 5 a second in turn, 900 s each); left out: trace for --trace, else poisson."
    ),
]
ManifestOption = Annotated[
    Path | None, typer.Option("--file", "-f", help="The cluster's manifest, for its classes; - is standard input.")
]
ClassesOption = Annotated[
    list[str] | None,
    typer.Option("--class", "-c", help="Ask for this class, or class:weight; may be repeated. Left out: for all."),
]
MixOption = Annotated[
    str | None, typer.Option(help="How many requests of each class, as weights in the order of the classes: 1:1:2.")
]
LowImportanceOption = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Share of every class that is sent as unimportant, from 0 to 1; left out, the class decides."
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="The same seed sends the same load.")]
ReplayOption = Annotated[
    bool, typer.Option("--replay", help="Give answers the very lengths of the workload; needs `niyama up --replay`.")
]
PatienceOption = Annotated[
    float | None,
    typer.Option(
        parser=seconds,
        metavar="DURATION",
        help="Give up requests that are still open this long after the last arrival.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and no table.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write the figures, as results.json, into this folder.")
]
PlotsOption = Annotated[
    Path | None, typer.Option("--plots", metavar="DIR", help="Write plots, a report and results.json into this folder.")
]
