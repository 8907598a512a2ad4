"""Channels to servers of ours, with the limits and the keepalive that our servers expect.

Both ends must agree: a message that one may send the other must take, and a ping that comes too often is punished
with GOAWAY.
"""

import grpc

from niyama_runtime.tls import ClientTls, channel_credentials

__all__ = ["KEEPALIVE_SECONDS", "MAX_MESSAGE_BYTES", "channel_options", "open_channel"]

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""The largest message; a prompt of a million tokens, as ids, takes about 4 MB."""

KEEPALIVE_SECONDS = 1.0
"""How long a connection is silent before it is asked whether the other end lives.

Nothing else finds a server that hangs or is out of reach, and its streams stand still until then. While tokens flow
nothing is asked; and gRPC's own threads answer, however busy the process is.
"""

KEEPALIVE_TIMEOUT_SECONDS = 3.0
"""How long that answer may take, as a rule: between applications and routers there may be any network."""


def channel_options(
    *, through_proxy: bool = False, answers_within: float = KEEPALIVE_TIMEOUT_SECONDS
) -> list[tuple[str, int]]:
    """Return gRPC's arguments of a channel; `through_proxy` heeds the environment's http_proxy.

    A server that is asked whether it lives, and does not answer within so many seconds, is given up with its streams.
    """
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", round(KEEPALIVE_SECONDS * 1000)),
        ("grpc.keepalive_timeout_ms", round(answers_within * 1000)),
        # While a ping of gRPC's own, which measures bandwidth, stays without an answer, no other one is sent: without
        # this such a ping is waited for a minute.
        ("grpc.http2.ping_timeout_ms", round(answers_within * 1000)),
        # A stream may be silent for minutes while its request waits: ask on.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_http_proxy", int(through_proxy)),
        # A server that was away is tried again soon: the default back-off grows to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # Despite its name, how long one attempt may take; calls wait for it, by default for 20 s.
        ("grpc.min_reconnect_backoff_ms", 1000),
    ]


def open_channel(
    address: str, *, tls: ClientTls | None = None, answers_within: float = KEEPALIVE_TIMEOUT_SECONDS
) -> grpc.aio.Channel:
    """Return a channel to `address` (host:port or another of gRPC's names); it connects with the first call.

    A server that hangs is given up after so many seconds without an answer.

    Raises:
        TlsError: a file of `tls` cannot be used.
    """
    options = channel_options(answers_within=answers_within)
    if tls is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, channel_credentials(tls), options=options)
