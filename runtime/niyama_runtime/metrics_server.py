"""Serves a Prometheus registry over HTTP, on threads of its own, so that a scrape never holds up the event loop."""

import asyncio
import threading
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from niyama_runtime.addresses import Address, BindError, parse_address

__all__ = ["MetricsServer"]


class MetricsServer:
    """One registry at http://ADDRESS/metrics, from the moment it is made until `stop`."""

    def __init__(self, registry: CollectorRegistry, address: str) -> None:
        """Begin to listen on `address` (host:port; port 0 takes a free one).

        Raises:
            BindError: the address cannot be taken; the message says why.
        """
        wanted = parse_address(address)
        self._server, self._thread = _listen(registry, wanted)
        self._address = Address(wanted.host, self._server.server_port)

    @property
    def address(self) -> str:
        """host:port, with the port that was really taken."""
        return str(self._address)

    async def stop(self) -> None:
        """Stop listening; takes up to half a second, in which the event loop goes on."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _listen(registry: CollectorRegistry, address: Address) -> tuple[WSGIServer, threading.Thread]:
    try:
        return start_http_server(address.port, addr=address.host, registry=registry)
    except OSError as error:
        raise BindError(f"cannot serve metrics on {address}: {error.strerror or error}") from error
