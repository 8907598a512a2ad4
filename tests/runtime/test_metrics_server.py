"""A Prometheus registry over HTTP."""

import asyncio
import socket
import urllib.request

import pytest
from niyama_runtime.addresses import BindError
from niyama_runtime.metrics_server import MetricsServer
from prometheus_client import CollectorRegistry, Counter


def _scrape(address: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}/metrics", timeout=5) as reply:
        return str(reply.read().decode())


async def test_a_registry_is_served_until_the_server_stops() -> None:
    registry = CollectorRegistry()
    Counter("niyama_things", "Things.", registry=registry).inc(3)
    server = MetricsServer(registry, "127.0.0.1:0")
    assert "niyama_things_total 3.0" in await asyncio.to_thread(_scrape, server.address)
    await server.stop()
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(_scrape, server.address)


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(BindError, match=f"cannot serve metrics on {address}: Address already in use"):
            MetricsServer(CollectorRegistry(), address)
