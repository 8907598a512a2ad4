"""Keeps the directory fresh: reads the board, hears of changes at once, and asks replicas that the board misses.

A few loops, each on its own so that a slow answer to one holds up no other. None of them is on a request's way.
"""

import asyncio
import contextlib

from niyama_runtime.clock import Clock
from niyama_runtime.load_board import Change

from niyama_router.directory import Directory
from niyama_router.load_store import BoardSource, SourceAwayError
from niyama_router.probe import ProbingSource
from niyama_router.replica_client import ReplicaClients
from niyama_router.seeds import Seeds

__all__ = ["Watch"]

_READ_SECONDS = 0.1
_ASK_SECONDS = 0.25


class Watch:
    """The loops around one directory."""

    def __init__(
        self,
        directory: Directory,
        clients: ReplicaClients,
        *,
        board: BoardSource | None,
        seeds: Seeds,
        clock: Clock,
    ) -> None:
        """Watch over `board`, when there is one, and the replicas at `seeds`."""
        self._directory = directory
        self._clients = clients
        self._board = board
        self._seeds = seeds
        self._clock = clock
        self._probes = ProbingSource(clients, self._addresses_to_ask)
        self._joined = asyncio.Event()

    async def look_once(self) -> None:
        """Look at everything once, so that the first request finds replicas."""
        await self._read_board()
        await self._seeds.look_once()
        await self._ask()

    async def run(self) -> None:
        """Go on for ever."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._keep_asking())
            loops.create_task(self._seeds.run())
            if self._board is not None:
                loops.create_task(self._keep_reading())
                loops.create_task(self._keep_hearing(self._board))

    async def _keep_reading(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_READ_SECONDS):
                    await self._joined.wait()
            self._joined.clear()
            await self._read_board()

    async def _keep_asking(self) -> None:
        while True:
            await asyncio.sleep(_ASK_SECONDS)
            await self._ask()

    async def _keep_hearing(self, board: BoardSource) -> None:
        async for change in board.changes():
            self._directory.hear(change, self._clock.now())
            if change.change is Change.JOINED:
                self._joined.set()

    async def _read_board(self) -> None:
        if self._board is None:
            return
        try:
            sightings = await self._board.look()
        except SourceAwayError:
            self._directory.unlist()
            return
        self._directory.see(sightings, self._clock.now(), listed=True)

    async def _ask(self) -> None:
        sightings = await self._probes.look()
        self._directory.see(sightings, self._clock.now())
        await self._clients.retain(self._directory.addresses() | self._seeds.addresses())

    def _addresses_to_ask(self) -> frozenset[str]:
        unknown = self._seeds.addresses() - self._directory.addresses()
        return unknown | self._directory.addresses_to_ask(self._clock.now())
