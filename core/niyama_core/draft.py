"""An iteration while it is put together: what it holds so far, and what still fits."""

from niyama_core.decodes import DecodeSurvey
from niyama_core.latency import IterationShape
from niyama_core.plan import Chunk
from niyama_core.request import LiveRequest

__all__ = ["Draft"]


class Draft:
    """Chunks chosen so far, within a budget of tokens, the free KV cache and the number of sequences.

    A request that has not begun is taken only when the KV cache can hold what it and all that have begun are expected
    to grow to, so that nothing begun is thrown away for want of room. Where nothing has begun, one is taken anyway: it
    will never have more room. Once one is refused, nobody after it may begin either, or small requests would for ever
    take the room that it waits for.

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
        self.token_budget = token_budget
        self.chunks: list[Chunk] = []
        self._decodes = decodes
        self._tokens_left = max(0, token_budget - decodes.num_decodes)
        self._kv_left = kv_free_tokens - decodes.num_decodes
        self._unreserved = kv_free_tokens - survey.growth_tokens - started_growth_tokens
        self._new_sequences = new_sequences
        self._nothing_has_begun = not decodes.num_decodes and not started_growth_tokens
        self._is_closed = False
        self._held: set[str] = set()
        self._prefill_tokens = self._context_tokens = 0
        self._attention = 0.0

    @property
    def has_room(self) -> bool:
        """Whether a chunk of a request that has begun would fit."""
        return self._tokens_left > 0 and self._kv_left > 0

    @property
    def is_open(self) -> bool:
        """Whether a chunk of any request may fit."""
        return self.has_room and not self._is_closed

    def take(self, live: LiveRequest) -> None:
        """Put in as much of a request's prefill as fits; nothing of one that is in already or may not begin."""
        if live.request.request_id in self._held or not self.has_room:
            return
        if not live.has_started and not self._reserve(live):
            self._is_closed = True
            return
        num_tokens = min(live.prefill_remaining, self._tokens_left, self._kv_left)
        self._tokens_left -= num_tokens
        self._kv_left -= num_tokens
        self._prefill_tokens += num_tokens
        context = live.prefill_context
        self._context_tokens += context
        self._attention += num_tokens * (context + num_tokens / 2)
        self._held.add(live.request.request_id)
        self.chunks.append(Chunk(live.request.request_id, num_tokens))

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
        is_alone = self._nothing_has_begun and not self.chunks
        if self._is_closed or self._new_sequences <= 0 or (needed > self._unreserved and not is_alone):
            return False
        self._unreserved -= needed
        self._new_sequences -= 1
        return True
