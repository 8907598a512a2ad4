"""The queue of waiting prefills: a heap whose entries never change.

A request that advances gets a new entry and a new ticket; its older entries are void and fall out when they reach the
top, or all at once when they outnumber the others. So an iteration costs a few heap operations, however long the
queue, and no key changes inside the heap.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import count

from niyama_core.request import LiveRequest

__all__ = ["Key", "PrefillQueue"]

Key = float | tuple[bool, bool, float]
_Entry = tuple[Key, int, int, int, LiveRequest]

_TOLERATED_VOID_ENTRIES = 64


class PrefillQueue:
    """Waiting requests in the order of a key.

    Args:
        key: the smallest is served first; equal keys are served in the order of admission.
    """

    def __init__(self, key: Callable[[LiveRequest], Key]) -> None:
        """Start empty."""
        self._key = key
        self._heap: list[_Entry] = []
        self._skipped: list[_Entry] = []
        self._serial = count()
        self._live: dict[str, LiveRequest] = {}

    def __len__(self) -> int:
        """Return how many requests wait."""
        return len(self._live)

    def __iter__(self) -> Iterator[LiveRequest]:
        """Iterate over the waiting requests, in no order."""
        return iter(self._live.values())

    def put(self, live: LiveRequest) -> None:
        """Put a request in, or in its new place after it has advanced."""
        live.take_ticket()
        self._live[live.request.request_id] = live
        heapq.heappush(self._heap, (self._key(live), live.turn, next(self._serial), live.ticket, live))
        self._forget_void_entries()

    def remove(self, live: LiveRequest) -> bool:
        """Take a request out, wherever it stands; return whether it was in."""
        if self._live.pop(live.request.request_id, None) is None:
            return False
        live.take_ticket()
        self._forget_void_entries()
        return True

    def peek(self) -> LiveRequest | None:
        """Return the request that is next, or None."""
        heap = self._heap
        while heap and _is_void(heap[0]):
            heapq.heappop(heap)
        return heap[0][4] if heap else None

    def skip(self) -> None:
        """Look behind the request that `peek` has returned, until `rewind`."""
        self._skipped.append(heapq.heappop(self._heap))

    def rewind(self) -> None:
        """Put all that was skipped back in its place."""
        for entry in self._skipped:
            heapq.heappush(self._heap, entry)
        self._skipped.clear()

    def in_order(self, live_requests: Iterable[LiveRequest]) -> list[LiveRequest]:
        """Return some of the waiting requests in the order of the queue."""
        return sorted(live_requests, key=lambda live: (self._key(live), live.turn))

    def _forget_void_entries(self) -> None:
        """Let go of entries that may never reach the top, before they outgrow the queue."""
        if len(self._heap) > 2 * len(self._live) + _TOLERATED_VOID_ENTRIES:
            self._heap = [entry for entry in self._heap if not _is_void(entry)]
            heapq.heapify(self._heap)


def _is_void(entry: _Entry) -> bool:
    """Return whether the request has advanced or left since the entry was made."""
    return entry[3] != entry[4].ticket
