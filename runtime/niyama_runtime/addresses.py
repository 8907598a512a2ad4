"""Addresses that servers listen on: parsing them, and saying in one line why one cannot be taken.

gRPC says only that binding failed, and not why. Asking the operating system first gives its own reason.
"""

import socket
from dataclasses import dataclass

__all__ = ["Address", "BindError", "check_bindable", "parse_address"]


class BindError(Exception):
    """A server cannot listen on its address; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port. Port 0 stands for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address that `text` (host:port, IPv6 hosts in brackets) stands for.

    Raises:
        BindError: `text` is no address.
    """
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    is_bracketed = host != bare
    if not (colon and bare and port.isascii() and port.isdigit()) or (":" in bare and not is_bracketed):
        raise BindError(f"{text!r} is no address: write host:port, for example 127.0.0.1:50051")
    if int(port) > 65535:
        raise BindError(f"{text!r} is no address: ports end at 65535")
    return Address(bare, int(port))


def check_bindable(address: Address) -> None:
    """Take `address` for a moment and give it back.

    Raises:
        BindError: the port is taken, the host is not this machine's, or the port needs more rights.
    """
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # What a server of ours sets too: connections that a former server left in TIME_WAIT do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
            probe.listen(1)
    except OSError as error:
        raise BindError(f"cannot listen on {address}: {error.strerror or error}") from error
