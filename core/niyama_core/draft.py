"""An iteration while it is put together: what it holds so far, and what still fits."""

from niyama_core.decodes import DecodeSurvey
from niyama_core.latency import IterationShape
from niyama_core.plan import Chunk
from niyama_core.request import LiveRequest

__all__ = ["Draft"]


class Draft:
    """Chunks chosen so far, within a budget of tokens, the free KV cache and the number of sequences.

    A request that has not begun is taken only when the KV cache can hold what it and all that have begun are expected
    to grow to, so that nothing begun is thrown away for want of room.

    Args:
        survey: the decodes, which are in the iteration already.
        token_budget: the most tokens, decodes included.
        kv_free_tokens: tokens that the KV cache can still hold.
        started_growth_tokens: tokens by which begun prefills are expected to grow.
        new_sequences: how many requests may begin.
    """

    def __init__(
        self,
        survey: DecodeSurvey,
        *,
        token_budget: int,
        kv_free_tokens: int,
        started_growth_tokens: int,
        new_sequences: int,
    ) -> None:
        """Start with the decodes alone."""
        decodes = survey.shape
        self.chunks: list[Chunk] = []
        self._decodes = decodes
        self._tokens_left = max(0, token_budget - decodes.num_decodes)
        self._kv_left = kv_free_tokens - decodes.num_decodes
        self._unreserved = kv_free_tokens - survey.growth_tokens - started_growth_tokens
        self._new_sequences = new_sequences
        self._held: set[str] = set()
        self._prefill_tokens = self._context_tokens = 0
        self._attention = 0.0

    @property
    def has_room(self) -> bool:
        """Whether another chunk may fit."""
        return self._tokens_left > 0 and self._kv_left > 0

    def holds(self, live: LiveRequest) -> bool:
        """Return whether a chunk of the request is in."""
        return live.request.request_id in self._held

    def take(self, live: LiveRequest) -> bool:
        """Put in as much of a request's prefill as fits; return False when it may not begin for want of room."""
        if not live.has_started and not self._reserve(live):
            return False
        num_tokens = min(live.prefill_remaining, self._tokens_left, self._kv_left)
        self._tokens_left -= num_tokens
        self._kv_left -= num_tokens
        self._prefill_tokens += num_tokens
        self._context_tokens += live.prefilled
        self._attention += num_tokens * (live.prefilled + num_tokens / 2)
        self._held.add(live.request.request_id)
        self.chunks.append(Chunk(live.request.request_id, num_tokens))
        return True

    def shape(self) -> IterationShape:
        """Return the sums that the iteration's time depends on."""
        return IterationShape(
            prefill_tokens=self._prefill_tokens,
            num_decodes=self._decodes.num_decodes,
            decode_context_tokens=self._decodes.decode_context_tokens,
            prefill_context_tokens=self._context_tokens,
            prefill_attention=self._attention,
        )

    def _reserve(self, live: LiveRequest) -> bool:
        """Set room aside for all that a request is expected to need; return whether there was enough."""
        needed = live.prefill_remaining + live.output_remaining
        if needed > self._unreserved or self._new_sequences <= 0:
            return False
        self._unreserved -= needed
        self._new_sequences -= 1
        return True
