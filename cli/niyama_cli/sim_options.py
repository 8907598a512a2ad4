"""The options that simulations share: what is asked of a cluster, what it is made of, by which policies it runs."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated

import typer
from niyama_core.placement import PLACEMENTS
from niyama_core.policies import POLICIES
from niyama_core.profiles import PROFILES
from niyama_eval.figures import WORKLOADS

from niyama_cli.option_types import completion_of, seconds

__all__ = [
    "ArrivalsOption",
    "ClassesOption",
    "DurationOption",
    "LowImportanceOption",
    "MixOption",
    "NoiseOption",
    "NumRequestsOption",
    "PlacementOption",
    "PoliciesOption",
    "ProfileOption",
    "QpsOption",
    "ReplicasOption",
    "SeedOption",
    "WorkloadsOption",
    "one_of",
]

_Names = str | list[str] | None


def one_of(known: Collection[str]) -> Callable[[_Names], _Names]:
    """Return what refuses a name, or one of several, that is not known."""

    def check(names: _Names) -> _Names:
        for name in [names] if isinstance(names, str) else names or ():
            if name not in known:
                raise typer.BadParameter(f"{name!r} is unknown: choose one of {', '.join(known)}")
        return names

    return check


WorkloadsOption = Annotated[
    list[str],
    typer.Option(
        "--workload",
        "-w",
        autocompletion=completion_of(WORKLOADS),
        help=f"{', '.join(WORKLOADS)}, or a trace file; may be repeated.",
    ),
]
QpsOption = Annotated[float | None, typer.Option("--qps", help="Mean requests per second of all together.")]
ArrivalsOption = Annotated[
    str, typer.Option("--arrivals", metavar="TEXT", help="poisson, trace, trace:600 or diurnal:2,5,900.")
]
NumRequestsOption = Annotated[int | None, typer.Option("--num-requests", help="How many requests.")]
DurationOption = Annotated[
    float | None,
    typer.Option("--duration", parser=seconds, metavar="DURATION", help="How long requests arrive: 30m."),
]
MixOption = Annotated[str | None, typer.Option("--mix", help="Weights in the order of the classes: 1:1:1.")]
LowImportanceOption = Annotated[
    float | None, typer.Option("--low-importance", min=0, max=1, help="Share of every class that may give way.")
]
ClassesOption = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        "--classes",
        metavar="FILE",
        help="A manifest, for its classes; left out: the published three; - is standard input.",
    ),
]
PoliciesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        "-p",
        callback=one_of(POLICIES),
        autocompletion=completion_of(POLICIES),
        show_default="niyama",
        help=f"{', '.join(POLICIES)}; may be repeated.",
    ),
]
PlacementOption = Annotated[
    str,
    typer.Option(
        "--placement",
        callback=one_of(PLACEMENTS),
        autocompletion=completion_of(PLACEMENTS),
        help=f"{', '.join(PLACEMENTS)}.",
    ),
]
ReplicasOption = Annotated[int, typer.Option("--replicas", min=1, max=1024, help="How many replicas.")]
ProfileOption = Annotated[
    str,
    typer.Option(
        "--profile",
        callback=one_of(PROFILES),
        autocompletion=completion_of(PROFILES),
        help=f"{', '.join(PROFILES)}.",
    ),
]
NoiseOption = Annotated[
    float,
    typer.Option("--noise", min=0, max=1, help="Spread of iteration times, as the sigma of a log-normal factor."),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same run.")]
