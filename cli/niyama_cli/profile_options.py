"""The options of `niyama profile fit`: what was measured, and what no records can say of it."""

from pathlib import Path
from typing import Annotated

import typer
from niyama_core.profiles import PROFILES

from niyama_cli.option_types import completion_of
from niyama_cli.sim_options import known_profile

__all__ = [
    "ContextOption",
    "DataArgument",
    "GpuOption",
    "KvCapacityOption",
    "LikeOption",
    "ModelOption",
    "NameOption",
    "OutputOption",
    "SimulatedOption",
]

DataArgument = Annotated[
    list[Path],
    typer.Argument(metavar="DATA...", help="Iteration records as CSV, plain or gzip: an agent's, or a simulation's."),
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="PROFILE", help="The profile file to write.")]
LikeOption = Annotated[
    str,
    typer.Option(
        "--like",
        metavar="NAME|FILE",
        callback=known_profile,
        autocompletion=completion_of(PROFILES),
        help="The profile that the rest is taken from: model, GPU, tokens of KV cache and context.",
    ),
]
NameOption = Annotated[str | None, typer.Option("--name", help="Name of the profile.", show_default="that of the file")]
ModelOption = Annotated[str | None, typer.Option("--model", help="The model that was profiled.")]
GpuOption = Annotated[str | None, typer.Option("--gpu", help="The GPUs of one replica, such as '1x A100-80GB'.")]
KvCapacityOption = Annotated[
    int | None, typer.Option("--kv-capacity-tokens", min=16, help="Tokens that a replica's KV cache holds.")
]
ContextOption = Annotated[int | None, typer.Option("--context-tokens", min=16, help="The longest prompt plus answer.")]
SimulatedOption = Annotated[
    bool,
    typer.Option(
        "--simulated",
        help="The records were simulated by the law of --like: keep it, and tell errors against it without noise.",
    ),
]
