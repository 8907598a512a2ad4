"""Asking replicas themselves how loaded they are: those of a static list, and those that the board is silent about.

It costs a call for each replica and router, so it is what a router does for want of something better.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import grpc
from niyama_runtime.wire import WireError

from niyama_router.load_store import Sighting
from niyama_router.replica_client import ReplicaClients

__all__ = ["ProbingSource"]

_TIMEOUT_SECONDS = 0.5


class ProbingSource:
    """Asks replicas at given addresses, all at once."""

    def __init__(self, clients: ReplicaClients, addresses: Callable[[], Collection[str]]) -> None:
        """Ask through `clients`; `addresses` says whom, each time anew."""
        self._clients = clients
        self._addresses = addresses

    async def look(self) -> Sequence[Sighting]:
        """Return the replicas that answer; it is never away."""
        sightings = await asyncio.gather(*(self._ask(address) for address in self._addresses()))
        return [sighting for sighting in sightings if sighting is not None]

    async def _ask(self, address: str) -> Sighting | None:
        try:
            load = await self._clients.at(address).load(within=_TIMEOUT_SECONDS)
        except (grpc.aio.AioRpcError, WireError):
            return None
        # A replica may not know the address by which others reach it; this one works.
        return Sighting(replace(load, address=address), load_age=0.0, silent_seconds=0.0, is_direct=True)
