"""The options of `niyama capacity` that no other simulation has, or that mean something of their own there."""

from pathlib import Path
from typing import Annotated

import typer
from niyama_core.placement import PLACEMENTS
from niyama_core.policies import POLICIES
from niyama_eval.figures import WORKLOADS
from niyama_eval.goodput import RULES

from niyama_cli.option_types import completion_of, share
from niyama_cli.sim_options import one_of

__all__ = [
    "BaselinePlacementOption",
    "BaselinesOption",
    "GpuHourCostOption",
    "JobsOption",
    "MostOption",
    "PlotOption",
    "RuleOption",
    "SeedsOption",
    "SharedPlacementOption",
    "SharedPolicyOption",
    "TrafficOption",
    "ViolationsOption",
    "WhenOption",
]

TrafficOption = Annotated[
    list[str],
    typer.Option(
        "--trace",
        "--workload",
        "-w",
        autocompletion=completion_of(WORKLOADS),
        help="The traffic: a trace file in its original form, plain or gzip, replayed at its own times; or one of "
        f"{', '.join(WORKLOADS)}, with --qps. May be repeated, to serve several together.",
    ),
]
WhenOption = Annotated[
    str | None,
    typer.Option(
        "--arrivals",
        metavar="TEXT",
        show_default="trace where there are times, else poisson",
        help="When requests arrive, as `niyama sim run` takes it: poisson, trace, trace:600, diurnal:2,5,900.",
    ),
]
RuleOption = Annotated[
    str, typer.Option("--rule", callback=one_of(RULES), help=f"{', '.join(RULES)}; see docs/goodput.md.")
]
ViolationsOption = Annotated[
    float,
    typer.Option(
        "--violations",
        parser=share,
        metavar="SHARE",
        show_default="1%",
        help="Share of each class that may miss its promise.",
    ),
]
SharedPolicyOption = Annotated[
    str,
    typer.Option(
        "--policy",
        "-p",
        callback=one_of(POLICIES),
        autocompletion=completion_of(POLICIES),
        help=f"How the shared replicas schedule: {', '.join(POLICIES)}.",
    ),
]
SharedPlacementOption = Annotated[
    str,
    typer.Option(
        "--placement",
        callback=one_of(PLACEMENTS),
        autocompletion=completion_of(PLACEMENTS),
        help=f"How a shared replica is chosen: {', '.join(PLACEMENTS)}.",
    ),
]
BaselinePlacementOption = Annotated[
    str,
    typer.Option(
        "--baseline-placement",
        callback=one_of(PLACEMENTS),
        autocompletion=completion_of(PLACEMENTS),
        help="Likewise for silos and FCFS; the published ones take turns.",
    ),
]
BaselinesOption = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Whether to look at silos and FCFS, too.")
]
GpuHourCostOption = Annotated[
    float, typer.Option("--gpu-hour-cost", min=0, help="What a GPU costs an hour, in any currency.")
]
MostOption = Annotated[int, typer.Option("--most", min=1, max=1024, help="Replicas to try at most, of each kind.")]
SeedsOption = Annotated[int, typer.Option("--seeds", min=1, help="How many, from --seed on.")]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Simulations at a time.")]
PlotOption = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw the curve as a PNG.")]
