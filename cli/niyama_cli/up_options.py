"""The options of `niyama up`, each with its help."""

from pathlib import Path
from typing import Annotated

import typer
from niyama_core.cluster_spec import EngineType
from niyama_core.policies import POLICIES

from niyama_cli.option_types import completion_of

__all__ = [
    "DecisionLogsOption",
    "DetachOption",
    "EngineOption",
    "FileOption",
    "IterationRecordsOption",
    "LogsOption",
    "PolicyOption",
    "PortOption",
    "RedisOption",
    "ReplayOption",
    "ReplicasOption",
    "SpeedOption",
]


FileOption = Annotated[Path, typer.Option("--file", "-f", help="The manifest; changes take effect while it runs.")]
ReplicasOption = Annotated[
    int | None,
    typer.Option(min=0, max=64, help="How many replicas to run, whatever the manifest says.", show_default=False),
]
SpeedOption = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        max=1000,
        help="How many times as fast as its latency profile the paced engine runs; 2 halves every time.",
        show_default=False,
    ),
]
PolicyOption = Annotated[
    str | None,
    typer.Option(
        autocompletion=completion_of(POLICIES),
        help=f"Scheduling policy, in place of the manifest's: {', '.join(POLICIES)}.",
        show_default=False,
    ),
]
EngineOption = Annotated[
    EngineType | None, typer.Option(help="What computes tokens; paced runs no model.", show_default="paced")
]
PortOption = Annotated[
    int, typer.Option(min=1, max=65535, help="Where the first router listens; further routers take the next ports.")
]
RedisOption = Annotated[
    str | None, typer.Option(metavar="URL", help="Use this Redis and start none.", show_default=False)
]
LogsOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Keep the processes' logs in this folder.", show_default=False)
]
DecisionLogsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Log every scheduling decision into this folder, for `niyama sim replay`.",
        show_default=False,
    ),
]
IterationRecordsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write every iteration as CSV into this folder, for `niyama profile fit`.",
        show_default=False,
    ),
]
ReplayOption = Annotated[
    bool,
    typer.Option("--replay", help="Let a request fix the length of its answer; `niyama bench --replay` needs it."),
]
DetachOption = Annotated[bool, typer.Option("--detach", "-d", help="Run in the background; `niyama down` ends it.")]
