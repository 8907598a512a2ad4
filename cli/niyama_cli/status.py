"""`niyama status`: how replicas and classes fare, once or for as long as one watches."""

import asyncio
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from niyama_client import ClusterStatus, NiyamaError
from niyama_client.connection import Target
from rich.console import Console
from rich.live import Live
from rich.text import Text

from niyama_cli.json_output import print_json
from niyama_cli.option_types import (
    AddressOption,
    CaOption,
    CertificateOption,
    KeyOption,
    TlsOption,
    router_target,
    seconds,
)
from niyama_cli.router_client import asking
from niyama_cli.router_sum import cluster_status
from niyama_cli.status_tables import status_view

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command(
    help="Show how replicas and classes fare, at all routers of the address together.",
    epilog="Examples: niyama status; niyama status --watch; niyama status --json",
)
def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(parser=seconds, metavar="DURATION", help="Time between two looks.", show_default="1s")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; with --watch one line a look.")] = False,
    address: AddressOption = None,
    tls: TlsOption = False,
    tls_ca: CaOption = None,
    tls_cert: CertificateOption = None,
    tls_key: KeyOption = None,
) -> None:
    """Ask once or again and again."""
    target = router_target(address, tls=tls, ca=tls_ca, cert=tls_cert, key=tls_key)
    with asking(target):
        if not watch:
            _show(asyncio.run(cluster_status(target)), as_json=as_json)
        elif as_json or not sys.stdout.isatty():
            asyncio.run(_lines(target, interval, as_json=as_json))
        else:
            asyncio.run(_live(target, interval))


async def _lines(target: Target, interval: float, *, as_json: bool) -> None:
    """Print one status after the other."""
    while True:
        _show(await cluster_status(target), as_json=as_json, indent=None)
        await asyncio.sleep(interval)


async def _live(target: Target, interval: float) -> None:
    """Draw the status anew each time; routers that are away are said so, and asked again."""
    with Live(auto_refresh=False) as live:
        while True:
            try:
                live.update(status_view(await cluster_status(target)), refresh=True)
            except NiyamaError as error:
                live.update(Text(f"{target.address} does not answer: {error}", style="red"), refresh=True)
            await asyncio.sleep(interval)


def _show(status: ClusterStatus, *, as_json: bool, indent: int | None = 2) -> None:
    if as_json:
        print_json(_document(status), indent=indent)
    else:
        # A pipe has no width of its own.
        Console(width=None if sys.stdout.isatty() else 120).print(status_view(status))


def _document(status: ClusterStatus) -> dict[str, object]:
    return {
        "cluster": status.cluster,
        "router": status.router,
        "placement": status.placement,
        "policy": status.policy,
        "load_board": status.load_board.value,
        "classes": [asdict(row) | {"attainment": row.attainment} for row in status.classes],
        "replicas": [
            {
                **asdict(replica.load),
                "load_age_seconds": replica.load_age,
                "placeable": replica.placeable,
                "num_open": replica.num_open,
            }
            for replica in status.replicas
        ],
    }
