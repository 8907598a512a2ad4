"""The options that simulations share: what is asked of a cluster, what it is made of, by which policies it runs."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated

import typer
from niyama_core.placement import PLACEMENTS
from niyama_core.policies import POLICIES
from niyama_core.profiles import PROFILES
from niyama_eval.figures import WORKLOADS
from niyama_runtime.profile_file import ProfileError, find_profile

from niyama_cli.option_types import completion_of, seconds, seconds_or_none
from niyama_cli.sim_settings import MAX_REPLICAS

__all__ = [
    "ArrivalsOption",
    "ClassesOption",
    "CoolDownOption",
    "DurationOption",
    "FaultsOption",
    "LoadAgeOption",
    "LowImportanceOption",
    "MixOption",
    "NoiseOption",
    "NumRequestsOption",
    "PlacementOption",
    "PoliciesOption",
    "ProfileOption",
    "QpsOption",
    "RateLimitOption",
    "RecordsOption",
    "ReplayProfileOption",
    "ReplicasOption",
    "RoutersOption",
    "SeedOption",
    "SiloOption",
    "SpreadOption",
    "WarmUpOption",
    "WorkloadsOption",
    "known_profile",
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


def known_profile(name: str | None) -> str | None:
    """Refuse what is neither a shipped profile nor a file that holds one."""
    try:
        if name is not None:
            find_profile(name)
    except ProfileError as error:
        raise typer.BadParameter(str(error)) from error
    return name


WorkloadsOption = Annotated[
    list[str],
    typer.Option(
        "--workload",
        "-w",
        autocompletion=completion_of(WORKLOADS),
        help=f"Lengths like those of {', '.join(WORKLOADS)}, or of a trace file; may be repeated.",
    ),
]
QpsOption = Annotated[
    float | None, typer.Option("--qps", help="Requests per second on average, of all workloads together.")
]
ArrivalsOption = Annotated[
    str,
    typer.Option(
        "--arrivals",
        metavar="TEXT",
        help="When requests arrive: poisson, trace (at its own times), trace:600 (from 600 s into it on), "
        "diurnal:2,5,900 (2 and 5 a second in turn, 900 s each).",
    ),
]
NumRequestsOption = Annotated[int | None, typer.Option("--num-requests", help="How many requests to simulate.")]
DurationOption = Annotated[
    float | None,
    typer.Option("--duration", parser=seconds, metavar="DURATION", help="For how long requests arrive, such as 30m."),
]
WarmUpOption = Annotated[
    float,
    typer.Option(
        "--warm-up",
        parser=seconds_or_none,
        metavar="DURATION",
        show_default="all count",
        help="Simulate, but do not count, requests that arrive in the first so many seconds.",
    ),
]
CoolDownOption = Annotated[
    float,
    typer.Option(
        "--cool-down",
        parser=seconds_or_none,
        metavar="DURATION",
        show_default="all count",
        help="Likewise for those of the last so many seconds before the last arrival.",
    ),
]
MixOption = Annotated[
    str | None,
    typer.Option("--mix", help="How many requests of each class, as weights in the order of the classes: 1:1:1."),
]
LowImportanceOption = Annotated[
    float | None,
    typer.Option(
        "--low-importance",
        min=0,
        max=1,
        help="Share of every class that is unimportant, from 0 to 1; under overload these give way first.",
    ),
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
        help=f"Scheduling policy: {', '.join(POLICIES)}; may be repeated.",
    ),
]
PlacementOption = Annotated[
    str,
    typer.Option(
        "--placement",
        callback=one_of(PLACEMENTS),
        autocompletion=completion_of(PLACEMENTS),
        help=f"How the router chooses a replica: {', '.join(PLACEMENTS)}.",
    ),
]
SpreadOption = Annotated[
    str | None,
    typer.Option(
        "--placement",
        callback=one_of((*PLACEMENTS, "silo")),
        autocompletion=completion_of((*PLACEMENTS, "silo")),
        show_default="niyama; with --silo round-robin in each pool",
        help=f"How the router chooses a replica: {', '.join(PLACEMENTS)}; or silo, with --silo.",
    ),
]
SiloOption = Annotated[
    str | None,
    typer.Option(
        "--silo",
        metavar="7,3,3",
        help="Divide the cluster: so many replicas for each class alone, in the order of the classes. Without --policy "
        "as published: sarathi-fcfs, 256 tokens an iteration for interactive classes and 2,048 for batch classes.",
    ),
]
RateLimitOption = Annotated[
    str | None,
    typer.Option(
        "--rate-limit",
        metavar="QPS",
        help="Refuse what comes faster than so many requests per second to the whole cluster; 3.5:10 lets a burst of "
        "10 pass, 3.5 one of a second's worth. Refused requests count as violations.",
    ),
]
RecordsOption = Annotated[
    Path | None,
    typer.Option(
        "--records",
        metavar="FILE",
        help="Write every iteration down as CSV, for niyama profile fit (docs/profiles.md).",
    ),
]
RoutersOption = Annotated[
    str | None,
    typer.Option(
        "--routers",
        metavar="N",
        show_default="1",
        help="How many routers place, each knowing what it has placed itself, and of the others only what replicas "
        "report. Requests come to any of them.",
    ),
]
LoadAgeOption = Annotated[
    str | None,
    typer.Option(
        "--load-age",
        metavar="DURATION",
        show_default="100ms",
        help="How old the loads may be by which routers place; they are at least half as old. With 0 routers know all.",
    ),
]
FaultsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="TEXT",
        help="What goes wrong: lose:3@10m (replica 3 is lost), lose:3@10m:90s (and is back after 90 s), "
        "slow:0@5m:2m:1.5 (replica 0 takes 1.5 times as long for 2 minutes), restart:all@10m:30s (one after the other "
        "is drained and away for 30 s); may be repeated.",
    ),
]
ReplicasOption = Annotated[
    int, typer.Option("--replicas", min=1, max=MAX_REPLICAS, help="How many replicas to simulate.")
]
ProfileOption = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="NAME|FILE",
        callback=known_profile,
        autocompletion=completion_of(PROFILES),
        help=f"Latency profile of a replica: {', '.join(PROFILES)}, or a profile file (docs/profiles.md).",
    ),
]
ReplayProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME|FILE",
        callback=known_profile,
        autocompletion=completion_of(PROFILES),
        help="Plan with this latency profile, whatever the log names.",
        show_default=False,
    ),
]
NoiseOption = Annotated[
    float,
    typer.Option("--noise", min=0, max=1, help="Spread of iteration times, as the sigma of a log-normal factor."),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same run.")]
