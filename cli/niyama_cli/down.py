"""`niyama down`: ends what `niyama up` runs on this machine."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Annotated

import typer

from niyama_cli.commands import COMMANDS
from niyama_cli.errors import CommandError
from niyama_cli.state_file import RunningCluster
from niyama_cli.up_record import running_clusters

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_POLL_SECONDS = 0.05
_KILLED_SECONDS = 5.0


@app.command(
    help=COMMANDS["down"],
    epilog="Example: niyama down",
)
def down(
    port: Annotated[
        int | None,
        typer.Option(help="End the cluster whose router listens on this port, where several run.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="End all clusters.")] = False,
    patience: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="How long running requests may take to finish before they are cut off."
        ),
    ] = 30.0,
) -> None:
    """Return when it is gone; that nothing runs is no error."""
    clusters = list(_chosen(port))
    if not clusters:
        typer.echo("nothing runs on this machine" + (f" at port {port}" if port is not None else ""))
        return
    if len(clusters) > 1 and not every:
        names = ", ".join(f"{cluster.cluster} at {cluster.router}" for cluster in clusters)
        raise CommandError(f"several clusters run: {names}: choose one with --port, or give --all")
    for cluster in clusters:
        _end(cluster, patience)


def _chosen(port: int | None) -> Iterator[RunningCluster]:
    for cluster in running_clusters():
        if port is None or any(router.endswith(f":{port}") for router in cluster.routers):
            yield cluster


def _end(cluster: RunningCluster, patience: float) -> None:
    """End a cluster: by draining, then without, then by force, on which the kernel ends its children."""
    typer.echo(f"draining {cluster.cluster} (process {cluster.pid}) ...")
    steps = ((signal.SIGTERM, patience), (signal.SIGTERM, _KILLED_SECONDS), (signal.SIGKILL, _KILLED_SECONDS))
    for number, seconds in steps:
        _signal(cluster, number)
        if _is_gone_within(cluster, seconds):
            typer.echo(f"{cluster.cluster} has ended")
            return
        typer.echo(f"{cluster.cluster} still runs after {seconds:g} s; it is ended at once")
    raise CommandError(f"process {cluster.pid} does not end")


def _signal(cluster: RunningCluster, number: signal.Signals) -> None:
    # Only who still holds the lock on its record: the id of one that has ended may be a stranger's by now.
    if cluster in running_clusters():
        with contextlib.suppress(ProcessLookupError):
            os.kill(cluster.pid, number)


def _is_gone_within(cluster: RunningCluster, seconds: float) -> bool:
    for _ in range(max(1, round(seconds / _POLL_SECONDS))):
        if cluster not in running_clusters():
            return True
        threading.Event().wait(_POLL_SECONDS)
    return False
