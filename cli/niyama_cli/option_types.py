"""Kinds of options that several commands share: addresses, TLS, durations."""

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer
from niyama_client.connection import DEFAULT_ADDRESS, Target, target_name
from niyama_core.units import DurationError, parse_duration
from niyama_runtime.tls import ClientTls

from niyama_cli.errors import CommandError
from niyama_cli.state_file import read_state

__all__ = [
    "AddressOption",
    "CaOption",
    "CertificateOption",
    "KeyOption",
    "TlsOption",
    "completion_of",
    "router_target",
    "seconds",
    "seconds_or_none",
    "share",
]

AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        "--router",
        "-a",
        envvar="NIYAMA_ADDRESS",
        metavar="HOST:PORT",
        help=f"The router. Left out: the cluster that `niyama up` runs, else {DEFAULT_ADDRESS}.",
    ),
]
TlsOption = Annotated[bool, typer.Option("--tls", help="Use TLS, trusting the system's authorities.")]
CaOption = Annotated[
    Path | None, typer.Option("--tls-ca", envvar="NIYAMA_TLS_CA", help="Use TLS, trusting these PEM roots.")
]
CertificateOption = Annotated[
    Path | None, typer.Option("--tls-cert", envvar="NIYAMA_TLS_CERT", help="PEM certificate to show, with --tls-key.")
]
KeyOption = Annotated[Path | None, typer.Option("--tls-key", envvar="NIYAMA_TLS_KEY", help="PEM key of --tls-cert.")]


def router_target(
    address: str | None, *, tls: bool = False, ca: Path | None = None, cert: Path | None = None, key: Path | None = None
) -> Target:
    """Return where the router is, and how to reach it.

    Raises:
        CommandError: the address is none.
    """
    wanted = address or _running_address() or DEFAULT_ADDRESS
    try:
        target_name(wanted)
    except ValueError as error:
        raise CommandError(f"--address: {error}", exit_code=2) from error
    uses_tls = tls or ca is not None or cert is not None or key is not None
    through_proxy = bool(os.environ.get("NIYAMA_THROUGH_PROXY"))
    return Target(wanted, ClientTls(ca, cert, key) if uses_tls else None, through_proxy)


def completion_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what tells a shell which of the known names may follow what has been typed of one."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in known if name.startswith(incomplete)]

    return complete


def seconds(text: str | float) -> float:
    """Return the seconds of an option such as `50ms` or `5m`; a default, which is seconds already, stays as it is.

    Raises:
        typer.BadParameter: the text is no duration, or not above zero.
    """
    if isinstance(text, float):
        return text
    try:
        duration = parse_duration(text)
    except DurationError as error:
        raise typer.BadParameter(str(error)) from error
    if duration <= 0:
        raise typer.BadParameter(f"{text!r} is not above zero")
    return duration


def seconds_or_none(text: str | float) -> float:
    """Return the seconds of an option such as `5m`, where `0` is a duration, too.

    Raises:
        typer.BadParameter: the text is no duration.
    """
    return 0.0 if text in ("0", "0s") else seconds(text)


def _running_address() -> str | None:
    """Return the address of the cluster that runs on this machine; of several routers all of them."""
    cluster = read_state()
    if cluster is None:
        return None
    return ",".join(cluster.routers) or cluster.router


def share(text: str | float) -> float:
    """Return the share of an option such as `1%` or `0.01`; a default, which is a number already, stays as it is.

    Raises:
        typer.BadParameter: the text is no share above 0 and below 1.
    """
    if isinstance(text, float):
        return text
    number, is_percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number) / (100 if is_percent else 1)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise typer.BadParameter(f"{text!r} is no share above 0 and below 1: write for example 1% or 0.01")
    return value
