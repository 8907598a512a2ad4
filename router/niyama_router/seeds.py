"""Where replicas are known to be without a load board: listed addresses, and a name that stands for several.

The name, as a rule that of a headless Service, is looked up every second. A look-up that fails or finds nobody leaves
the last addresses standing: it is more likely that the names are away than that all replicas are.
"""

import asyncio
import socket
from collections.abc import Collection

import structlog
from niyama_runtime.addresses import Address, parse_address

__all__ = ["Seeds"]

_LOOKUP_SECONDS = 1.0
_PATIENCE_SECONDS = 2.0

_log = structlog.get_logger(__name__)


class Seeds:
    """Addresses (host:port) that are asked when the load board does not name them."""

    def __init__(self, addresses: Collection[str], *, service: str | None = None) -> None:
        """Begin with the listed addresses; those of `service` (host:port) are known after the first look-up."""
        self._listed = frozenset(addresses)
        self._service = parse_address(service) if service else None
        self._found: frozenset[str] = frozenset()
        self._is_away = False

    def addresses(self) -> frozenset[str]:
        """Return all that are known at the moment."""
        return self._listed | self._found

    async def run(self) -> None:
        """Keep looking up the service's name, for ever; without one, wait for ever."""
        while True:
            await self.look_once()
            await asyncio.sleep(_LOOKUP_SECONDS)

    async def look_once(self) -> None:
        """Look up the service's name; never fails."""
        if self._service is None:
            return
        found = await _resolve(self._service)
        if found:
            self._found = found
        if self._is_away == bool(found):
            self._is_away = not found
            _log.info("replica_service_looked_up", service=str(self._service), found=len(found))


async def _resolve(service: Address) -> frozenset[str]:
    """Return the addresses that a name stands for; none when there are none or nobody knows."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            answers = await loop.getaddrinfo(service.host, service.port, type=socket.SOCK_STREAM)
    except OSError:  # a timeout too
        return frozenset()
    return frozenset(str(Address(str(answer[4][0]), service.port)) for answer in answers)
