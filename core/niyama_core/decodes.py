"""The requests that decode, and how long the next iteration may take for their sake.

In most iterations every decode gains one token, and nobody joins or leaves. Such rounds are counted here, and written
into the requests only when one joins, leaves or is looked at. So an iteration costs the same however many decode: the
sums grow by a known step each round, and of two decodes with equally frequent tokens the tighter stays the tighter.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from niyama_core.hot_value import hot_value
from niyama_core.latency import IterationShape, LatencyModel
from niyama_core.request import LiveRequest

__all__ = ["DecodeSet", "DecodeSurvey"]


@hot_value
class DecodeSurvey:
    """The decodes at one instant.

    Attributes:
        shape: an iteration of the decodes alone.
        slack: seconds until the most urgent token is due; infinite when none constrains.
        growth_tokens: tokens by which their KV caches are expected to grow until they end.
    """

    shape: IterationShape
    slack: float
    growth_tokens: int


@dataclass(slots=True)
class _Sums:
    """What is known of all decodes together, kept up from round to round.

    Attributes:
        context_tokens: tokens in their KV caches.
        growth_tokens: tokens by which those are expected to grow.
        num_growing: how many will have one fewer to grow by after a round; those at their last expected token will not.
        steady_rounds: rounds for which `num_growing` holds.
        next_due: by seconds between tokens, the instant at which the tightest interactive decode is due.
        batch: those that have a deadline for the whole answer, unless they were relegated.
        batch_due: the earliest of their deadlines.
        batch_remaining: the most tokens that one of them is expected to need.
    """

    context_tokens: int = 0
    growth_tokens: int = 0
    num_growing: int = 0
    steady_rounds: float = math.inf
    next_due: dict[float, float] = field(default_factory=dict)
    batch: list[LiveRequest] = field(default_factory=list)
    batch_due: float = math.inf
    batch_remaining: int = 1

    def add(self, live: LiveRequest) -> None:
        """Count a decode in."""
        remaining = live.output_remaining
        self.context_tokens += live.context_tokens
        self.growth_tokens += remaining
        if remaining > 1:
            self.num_growing += 1
            self.steady_rounds = min(self.steady_rounds, remaining - 1)
        if live.tbt is not None:
            self.next_due[live.tbt] = min(live.next_due, self.next_due.get(live.tbt, math.inf))
        elif not live.relegated:
            self.batch.append(live)
            self.batch_due = min(live.due, self.batch_due)
            self.batch_remaining = max(remaining, self.batch_remaining)

    def advance(self, num_decodes: int) -> None:
        """Take in a round, in which each of so many decodes gained a token."""
        self.context_tokens += num_decodes
        self.growth_tokens -= self.num_growing
        self.steady_rounds -= 1
        for tbt in self.next_due:
            self.next_due[tbt] += tbt


class DecodeSet:
    """The requests that have their first token and not yet their last.

    Args:
        predictor: expected time of an iteration.
    """

    def __init__(self, predictor: LatencyModel) -> None:
        """Start empty."""
        self._predictor = predictor
        self._live: dict[str, LiveRequest] = {}
        self._ids: tuple[str, ...] = ()
        self._sums: _Sums | None = _Sums()
        self._unwritten_rounds = 0

    def __len__(self) -> int:
        """Return how many requests decode."""
        return len(self._live)

    def __iter__(self) -> Iterator[LiveRequest]:
        """Iterate over the requests in the order in which they began to decode."""
        self._write_rounds()
        return iter(self._live.values())

    def ids(self) -> tuple[str, ...]:
        """Return the requests' ids."""
        return self._ids

    def add(self, live: LiveRequest) -> None:
        """Put in a request that has its first token."""
        self._write_rounds()
        self._live[live.request.request_id] = live
        self._change()

    def remove(self, live: LiveRequest) -> None:
        """Take a request out, if it is in."""
        if live.request.request_id not in self._live:
            return
        self._write_rounds()
        del self._live[live.request.request_id]
        self._change()

    def advance(self, request_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Count a token of each of these requests; return those of them that decode, and so have it."""
        if request_ids == self._ids and self._sums is not None:
            self._unwritten_rounds += 1
            self._sums.advance(len(request_ids))
            return request_ids
        self._write_rounds()
        self._sums = None
        advanced = tuple(request_id for request_id in request_ids if request_id in self._live)
        for request_id in advanced:
            self._live[request_id].advance_decode()
        return advanced

    def survey(self, now: float) -> DecodeSurvey:
        """Look at all decodes together.

        An interactive decode constrains the iteration by when its next token is due. A batch decode constrains it by
        the pace that its deadline asks for, unless it is relegated or asks for more than the decodes alone could give.
        """
        sums = self._up_to_date_sums()
        shape = IterationShape(0, len(self._live), sums.context_tokens)
        slack = min(sums.next_due.values(), default=math.inf) - now
        # The tightest pace of all is at least this one, so mostly there is no need to look for it.
        if sums.batch and slack > 0 and (sums.batch_due - now) / sums.batch_remaining < slack:
            attainable = self._predictor.iteration_time(shape)
            slack = min(slack, min((pace for pace in self._paces(sums, now) if pace > attainable), default=math.inf))
        return DecodeSurvey(shape, slack, sums.growth_tokens)

    def _paces(self, sums: _Sums, now: float) -> Iterator[float]:
        """Yield the seconds a token that keep the promises of batch decodes."""
        rounds = self._unwritten_rounds
        for live in sums.batch:
            if not live.relegated:
                yield (live.due - now) / max(1, live.expected_output_tokens - live.emitted - rounds)

    def _up_to_date_sums(self) -> _Sums:
        if self._sums is None or self._sums.steady_rounds < 0:
            self._write_rounds()
            self._sums = _Sums()
            for live in self._live.values():
                self._sums.add(live)
        return self._sums

    def _write_rounds(self) -> None:
        """Write into the requests what the rounds have changed that were only counted."""
        if self._unwritten_rounds:
            for live in self._live.values():
                live.advance_decode(self._unwritten_rounds)
            self._unwritten_rounds = 0

    def _change(self) -> None:
        """Take note that somebody has joined or left."""
        self._ids = tuple(self._live)
        self._sums = None
