"""The queue of waiting prefills: a heap whose entries never change.

A request that advances gets a new entry and a new ticket; its older entries are void and fall out when they reach the
top. So an iteration costs a few heap operations, however long the queue, and no key changes inside the heap.
"""

import heapq
from collections.abc import Callable, Iterator
from itertools import count

from niyama_core.request import LiveRequest

__all__ = ["Key", "PrefillQueue"]

Key = float | tuple[bool, bool, float]
_Entry = tuple[Key, int, int, LiveRequest]


class PrefillQueue:
    """Waiting requests in the order of a key.

    Args:
        key: the smallest is served first; equal keys are served in the order they were put in.
    """

    def __init__(self, key: Callable[[LiveRequest], Key]) -> None:
        """Start empty."""
        self._key = key
        self._heap: list[_Entry] = []
        self._order = count()
        self._live: dict[str, LiveRequest] = {}

    def __len__(self) -> int:
        """Return how many requests wait."""
        return len(self._live)

    def __iter__(self) -> Iterator[LiveRequest]:
        """Iterate over the waiting requests, in no order."""
        return iter(self._live.values())

    def put(self, live: LiveRequest) -> None:
        """Put a request in, or in its new place after it has advanced."""
        live.ticket += 1
        self._live[live.request.request_id] = live
        heapq.heappush(self._heap, (self._key(live), next(self._order), live.ticket, live))

    def remove(self, live: LiveRequest) -> bool:
        """Take a request out, wherever it stands; return whether it was in."""
        if self._live.pop(live.request.request_id, None) is None:
            return False
        live.ticket += 1
        return True

    def peek(self) -> LiveRequest | None:
        """Return the request that is next, or None."""
        heap = self._heap
        while heap and heap[0][2] != heap[0][3].ticket:
            heapq.heappop(heap)
        return heap[0][3] if heap else None

    def pop_entry(self) -> _Entry:
        """Take the next entry off the heap; `peek` has found it to be valid."""
        return heapq.heappop(self._heap)

    def push_back(self, entry: _Entry) -> None:
        """Put an entry back that was taken off and has not advanced."""
        heapq.heappush(self._heap, entry)
