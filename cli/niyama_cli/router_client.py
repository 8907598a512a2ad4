"""The SDK as the commands use it, and its errors as a person wants to hear them."""

from collections.abc import Iterator
from contextlib import contextmanager

from niyama_client import Client, NiyamaError, TlsError, UnavailableError
from niyama_client.connection import Target

from niyama_cli.errors import CommandError

__all__ = ["asking", "router_client"]

_CAUSES = (
    "connection refused",
    "connection reset by peer",
    "connection timed out",
    "domain name not found",
    "network is unreachable",
    "no route to host",
)
"""What gRPC ends its account of a failed connection with, and all that a person needs of it."""


def router_client(target: Target) -> Client:
    """Return a client of the routers."""
    return Client(target.address, tls=target.tls, through_proxy=target.through_proxy)


@contextmanager
def asking(target: Target) -> Iterator[None]:
    """Turn what a router, or the way to it, refuses into the failure of the command.

    Raises:
        CommandError: in place of an error of the SDK.
    """
    try:
        yield
    except UnavailableError as error:
        raise CommandError(_unavailable(target, error)) from error
    except (NiyamaError, TlsError) as error:
        raise CommandError(str(error)) from error


def _unavailable(target: Target, error: UnavailableError) -> str:
    """Return the server's own words, or, when there was no server, what to do about it."""
    if error.reason or error.tokens:
        return str(error)
    cause = _cause(error.message)
    return f"no router answers at {target.address}: start one with `niyama up`, or give --address ({cause})"


def _cause(message: str) -> str:
    """Return the end of gRPC's account if it is a known one; else the whole, such as what is wrong with TLS."""
    said = message.lower()
    return next((cause for cause in _CAUSES if cause in said), message)
