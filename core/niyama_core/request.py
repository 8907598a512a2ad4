"""A request as the planner knows it: what it was told, and how far it has come.

`Request` is what arrives. `LiveRequest` is the planner's own record of it, one of the few things here that change;
it changes only through its named transitions. Neither knows how long the answer will really be.
"""

from dataclasses import dataclass, field

from niyama_core.deadlines import service_deadline
from niyama_core.slo import Batch, Importance, Interactive, Promise

__all__ = ["LiveRequest", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """What the planner is told of a request.

    Attributes:
        request_id: unique among the live requests of a replica.
        promise: what was promised, in full.
        arrival: instant of arrival at the router, on this process's clock.
        num_prompt_tokens: tokens to compute before the first token, those of a resumed answer included.
        max_output_tokens: a cap on the answer, not an estimate.
        app: application, whose answers' lengths are remembered together.
        relegated: whether the router has already given up on its promise.
        next_due: of an interactive answer that goes on here after it began elsewhere, the instant its next token is
            due; None of any other request.
    """

    request_id: str
    promise: Promise
    arrival: float
    num_prompt_tokens: int
    max_output_tokens: int
    app: str = ""
    relegated: bool = False
    next_due: float | None = None


@dataclass(slots=True, eq=False)
class LiveRequest:
    """How far a request has come.

    Attributes:
        request: what the planner was told.
        expected_output_tokens: estimate of the answer's length, from the history of its application.
        decode_seconds: estimate of the time that such an answer decodes.
        turn: how many were admitted before it, which decides between equals.
        due: instant by which it counts as on time: first token, or whole answer of a batch request.
        prefill_due: instant by which its prefill must be complete for that, by the estimate at admission; of an
            interactive request that has lost its KV, the instant its next token is due.
        tbt: seconds between token deadlines; None for a batch request.
        prefill_target: tokens to have before it can decode; grows when its KV is lost.
        cached: tokens of them that the KV cache holds from others, which are not computed.
        prefilled: tokens computed of them.
        decoded: tokens decoded since that prefill.
        emitted: output tokens so far.
        next_due: instant the next token of an interactive request in decode is due.
        relegated: behind all that can be on time.
        ticket: which entry of the prefill queue stands for it; older entries are void.
    """

    request: Request
    expected_output_tokens: int
    decode_seconds: float
    turn: int = 0
    due: float = field(init=False)
    prefill_due: float = field(init=False)
    tbt: float | None = field(init=False)
    prefill_target: int = field(init=False)
    cached: int = 0
    prefilled: int = 0
    decoded: int = 0
    emitted: int = 0
    next_due: float = 0.0
    relegated: bool = False
    ticket: int = 0

    def __post_init__(self) -> None:
        """Derive what does not change from the request."""
        slo = self.request.promise.slo
        self.due = service_deadline(self.request.arrival, slo)
        match slo:
            case Interactive(tbt=tbt):
                self.tbt, self.prefill_due = tbt, self.due
            case Batch():
                self.tbt, self.prefill_due = None, self.due - self.decode_seconds
        self.prefill_target = self.request.num_prompt_tokens
        self.relegated = self.request.relegated
        if self.tbt is not None and self.request.next_due is not None:
            self.next_due = self.prefill_due = self.request.next_due

    @property
    def is_important(self) -> bool:
        """Whether it is relegated only when no low-importance request is left to relegate."""
        return self.request.promise.importance is Importance.HIGH

    @property
    def prefill_remaining(self) -> int:
        """Tokens to compute before it can decode."""
        return self.prefill_target - self.cached - self.prefilled

    @property
    def prefill_context(self) -> int:
        """Tokens that the next chunk of its prefill attends to."""
        return self.cached + self.prefilled

    @property
    def output_remaining(self) -> int:
        """Expected tokens until the answer ends, at least one."""
        remaining = self.expected_output_tokens - self.emitted
        return remaining if remaining > 0 else 1

    @property
    def has_started(self) -> bool:
        """Whether anything of it has been computed and is still held."""
        return self.prefilled > 0

    @property
    def is_untouched(self) -> bool:
        """Whether it has neither KV nor tokens: moving it elsewhere or putting it off wastes nothing."""
        return not self.prefilled and not self.emitted and self.request.next_due is None

    @property
    def context_tokens(self) -> int:
        """Tokens that it holds in the KV cache."""
        return self.cached + self.prefilled + self.decoded

    def advance_prefill(self, num_tokens: int, now: float) -> bool:
        """Count a chunk that was computed by `now`; return whether that completed the prefill and gave a token."""
        self.prefilled += num_tokens
        if self.prefill_remaining > 0:
            return False
        self._emit(now)
        return True

    def advance_decode(self, num_tokens: int = 1) -> None:
        """Count decoded tokens, which leave the clock of an interactive request to run on as it was set."""
        self.decoded += num_tokens
        self.emitted += num_tokens
        if self.tbt is not None:
            # One after the other, so that rounding is the same however many are counted at once.
            for _ in range(num_tokens):
                self.next_due += self.tbt

    def find_cached(self, num_tokens: int) -> None:
        """Note how many tokens the KV cache holds for its prefill; the last is computed all the same, for its answer.

        Changes what remains, so it must not wait in a queue meanwhile.
        """
        self.cached = max(0, min(num_tokens, self.prefill_target - self.prefilled - 1))

    def take_ticket(self) -> None:
        """Make void every entry of a queue that has stood for it so far."""
        self.ticket += 1

    def relegate(self) -> None:
        """Put it behind all that can be on time."""
        self.relegated = True

    def lose_kv(self) -> None:
        """Give up what was computed: the prefill starts again, with the tokens emitted so far behind the prompt.

        May move `prefill_due`, so it must not wait in a queue meanwhile.
        """
        self.prefill_target = self.request.num_prompt_tokens + self.emitted
        self.cached = self.prefilled = self.decoded = 0
        if self.tbt is not None and self.emitted:
            self.prefill_due = self.next_due

    def _emit(self, now: float) -> None:
        self.emitted += 1
        if self.tbt is not None:
            begins = self.emitted == 1 and self.request.next_due is None
            anchor = max(now, self.due) if begins else self.next_due
            self.next_due = anchor + self.tbt
