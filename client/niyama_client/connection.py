"""The way to a cluster's routers: addresses, TLS, and calls that are spread over all of them.

A name that stands for several routers (a headless Service, `dns:///...`) is balanced round robin by gRPC itself, and
a router that is gone is left out; so a retry goes to another one.
"""

import json
from dataclasses import dataclass

import grpc
from niyama_runtime.addresses import BindError, parse_address
from niyama_runtime.grpc_channel import channel_options
from niyama_runtime.tls import ClientTls, channel_credentials

__all__ = ["DEFAULT_ADDRESS", "DEFAULT_PORT", "Target", "open_channel", "target_name"]

DEFAULT_PORT = 50051
DEFAULT_ADDRESS = f"localhost:{DEFAULT_PORT}"

_SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
_SCHEMES = ("dns:", "unix:", "ipv4:", "ipv6:", "passthrough:", "xds:")


@dataclass(frozen=True, slots=True)
class Target:
    """Where routers are, and how to reach them.

    Attributes:
        address: `host:port`, several IPv4 ones with commas, or one of gRPC's names such as `dns:///routers:50051`.
        tls: whom to trust and what to show; insecure without.
        through_proxy: whether to heed the environment's http_proxy.
    """

    address: str = DEFAULT_ADDRESS
    tls: ClientTls | None = None
    through_proxy: bool = False


def target_name(address: str) -> str:
    """Return the name that gRPC resolves; a host without a port gets the default one.

    Raises:
        ValueError: `address` is none; the message says how to write one.
    """
    if address.startswith(_SCHEMES) or "://" in address:
        return address
    names = [_host_and_port(part.strip()) for part in address.split(",")]
    return names[0] if len(names) == 1 else "ipv4:" + ",".join(names)


def _host_and_port(address: str) -> str:
    with_port = address if ":" in address else f"{address}:{DEFAULT_PORT}"
    try:
        return str(parse_address(with_port))
    except BindError as error:
        raise ValueError(str(error)) from None


def open_channel(target: Target) -> grpc.aio.Channel:
    """Return a channel to the routers; it connects with the first call.

    Raises:
        ValueError: the address is none.
        TlsError: a file of the TLS settings cannot be used.
    """
    name = target_name(target.address)
    options = [*channel_options(through_proxy=target.through_proxy), ("grpc.service_config", _SERVICE_CONFIG)]
    if target.tls is None:
        return grpc.aio.insecure_channel(name, options=options)
    return grpc.aio.secure_channel(name, channel_credentials(target.tls), options=options)
