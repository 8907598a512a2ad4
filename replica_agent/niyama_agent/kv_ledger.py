"""Who holds how much of the KV cache, for an engine that has none."""

from niyama_core.plan import ExecutedIteration

__all__ = ["KvLedger"]


class KvLedger:
    """Tokens in the KV cache by request.

    Args:
        capacity_tokens: tokens that the cache holds.
    """

    def __init__(self, capacity_tokens: int) -> None:
        """Start empty."""
        self._capacity_tokens = capacity_tokens
        self._held: dict[str, int] = {}
        self._opened_since_plan: set[str] = set()
        self.used_tokens = 0
        """Tokens in the cache."""

    @property
    def free_tokens(self) -> int:
        """Tokens that still fit."""
        return self._capacity_tokens - self.used_tokens

    def open(self, request_id: str) -> None:
        """Begin to keep account of a request, which holds nothing yet."""
        self._held[request_id] = 0
        self._opened_since_plan.add(request_id)

    def note_plan(self) -> None:
        """Note that an iteration is planned: it holds only requests that are open by now."""
        self._opened_since_plan.clear()

    def hold(self, executed: ExecutedIteration) -> None:
        """Count what an iteration has put in.

        Requests that were closed since the plan are passed over, even if one with the same id was opened since.
        """
        for request_id in executed.decodes:
            self._add(request_id, 1)
        for chunk in executed.chunks:
            self._add(chunk.request_id, chunk.num_tokens)

    def empty(self, request_id: str) -> None:
        """Free what a request holds, and go on keeping account of it."""
        self.used_tokens -= self._held[request_id]
        self._held[request_id] = 0

    def close(self, request_id: str) -> None:
        """Free what a request holds and forget it."""
        self.used_tokens -= self._held.pop(request_id)

    def _add(self, request_id: str, num_tokens: int) -> None:
        if request_id in self._held and request_id not in self._opened_since_plan:
            self._held[request_id] += num_tokens
            self.used_tokens += num_tokens
