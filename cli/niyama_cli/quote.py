"""`niyama quote`: which times could be promised at this moment, by class."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer
from niyama_client import ClassQuote
from niyama_client.connection import Target
from rich.console import Console
from rich.table import Table

from niyama_cli.json_output import print_json
from niyama_cli.option_types import (
    AddressOption,
    CaOption,
    CertificateOption,
    KeyOption,
    TlsOption,
    router_target,
    share,
)
from niyama_cli.router_client import asking, router_client
from niyama_cli.status_tables import plain_table

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_NO_TIME = "none"


@app.command(
    help="Say which times could be promised now, by class, to a prompt of that many tokens.",
    epilog="Examples: niyama quote 2000; niyama quote 2000 --output-tokens 300 --confidence 99%; niyama quote 9 --json",
)
def quote(
    prompt_tokens: Annotated[int, typer.Argument(min=1, metavar="PROMPT_TOKENS", help="Length of the prompt.")],
    output_tokens: Annotated[
        int | None,
        typer.Option("--output-tokens", "-n", min=1, help="Length of the answer. Left out: what is usual for --app."),
    ] = None,
    app_name: Annotated[str, typer.Option("--app", help="Application whose answers' lengths are expected.")] = "",
    confidence: Annotated[
        float, typer.Option(parser=share, metavar="SHARE", help="How often the quote shall hold.", show_default="95%")
    ] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    address: AddressOption = None,
    tls: TlsOption = False,
    tls_ca: CaOption = None,
    tls_cert: CertificateOption = None,
    tls_key: KeyOption = None,
) -> None:
    """Ask once, and print what is quoted."""
    target = router_target(address, tls=tls, ca=tls_ca, cert=tls_cert, key=tls_key)
    with asking(target):
        quotes = asyncio.run(
            _ask(target, prompt_tokens, output_tokens=output_tokens, app_name=app_name, confidence=confidence)
        )
    if as_json:
        print_json([asdict(one) for one in quotes])
    else:
        Console().print(_table(quotes))


async def _ask(
    target: Target, prompt_tokens: int, *, output_tokens: int | None, app_name: str, confidence: float
) -> tuple[ClassQuote, ...]:
    async with router_client(target) as client:
        return await client.quote(
            prompt_tokens, num_output_tokens=output_tokens, app=app_name or None, confidence=confidence
        )


def _table(quotes: tuple[ClassQuote, ...]) -> Table:
    table = plain_table("class", "TTFT", "TTLT", "holds in", "own promise", "replica")
    for one in quotes:
        own = "[green]would be kept[/]" if one.feasible else "[red]not sure[/]"
        table.add_row(one.qos_class, _time(one.ttft), _time(one.ttlt), _holds(one.confidence), own, one.replica)
    return table


def _time(seconds: float | None) -> str:
    return _NO_TIME if seconds is None else f"{seconds:.2f} s"


def _holds(confidence: float) -> str:
    return f"{100 * confidence:.3g} %" if confidence else "unknown"
