"""The waiting requests of an engine that schedules by itself, shown to it in the order of a plan.

vLLM's scheduler asks a queue who is next until its budget is spent. This one holds everybody who waits and shows only
those whom the plan lets begin, in its order. It has the methods that vLLM's scheduler calls on its own queues; requests
are whatever the engine makes of them, told apart by identity.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

__all__ = ["PlannedQueue"]

R = TypeVar("R")


class PlannedQueue(Generic[R]):
    """Holds all who wait, in the order in which they came, and offers some."""

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: dict[R, None] = {}
        self._offered: deque[R] = deque()

    def __len__(self) -> int:
        """Return how many requests wait, offered or not."""
        return len(self._waiting)

    def __bool__(self) -> bool:
        """Return whether a request is offered."""
        return bool(self._offered)

    def __iter__(self) -> Iterator[R]:
        """Iterate over all who wait, in the order in which they came."""
        return iter(self._waiting)

    def __contains__(self, request: object) -> bool:
        """Return whether a request waits."""
        return request in self._waiting

    def offer(self, requests: Iterable[R]) -> None:
        """Offer those of the requests that wait, and nobody else."""
        self._offered = deque(request for request in requests if request in self._waiting)

    def peek_request(self) -> R:
        """Return who is next of those that are offered.

        Raises:
            IndexError: nobody is.
        """
        return self._offered[0]

    def pop_request(self) -> R:
        """Take out who is next of those that are offered.

        Raises:
            IndexError: nobody is.
        """
        request = self._offered.popleft()
        del self._waiting[request]
        return request

    def add_request(self, request: R) -> None:
        """Take a request in; it is not offered before a plan says so."""
        self._waiting[request] = None

    def prepend_request(self, request: R) -> None:
        """Take a request in that has begun and lost what was computed."""
        self.add_request(request)

    def prepend_requests(self, requests: Iterable[R]) -> None:
        """Take requests back that were passed over."""
        for request in requests:
            self.add_request(request)

    def remove_request(self, request: R) -> None:
        """Take a request out.

        Raises:
            KeyError: it does not wait.
        """
        del self._waiting[request]
        self._withdraw({request})

    def remove_requests(self, requests: Iterable[R]) -> None:
        """Take out those of the requests that wait."""
        gone = {request for request in requests if self._waiting.pop(request, self) is None}
        if gone:
            self._withdraw(gone)

    def _withdraw(self, gone: set[R]) -> None:
        if self._offered:
            self._offered = deque(request for request in self._offered if request not in gone)
