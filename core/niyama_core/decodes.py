"""The requests that decode, and how long the next iteration may take for their sake.

In most iterations every decode gains one token, and nobody joins or leaves. Such rounds are counted here, and written
into a request only when it leaves or is looked at. So an iteration costs the same however many decode: the sums change
by a known step each round, and of two decodes with equally frequent tokens the tighter stays the tighter.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

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


@dataclass(slots=True, eq=False)
class _Member:
    """A request that decodes.

    Attributes:
        live: the request, as it was at round `since`.
        since: the round that is written into it.
        last_round: the round with the last token that is expected of it.
    """

    live: LiveRequest
    since: int
    last_round: int

    def write(self, now: int) -> None:
        """Write into the request what the rounds since have changed."""
        if now > self.since:
            self.live.advance_decode(now - self.since)
            self.since = now


class DecodeSet:
    """The requests that have their first token and not yet their last.

    Args:
        predictor: expected time of an iteration.
    """

    def __init__(self, predictor: LatencyModel) -> None:
        """Start empty."""
        self._predictor = predictor
        self._round = 0
        self._ids: tuple[str, ...] = ()
        self._members: dict[str, _Member] = {}
        self._batch: dict[str, _Member] = {}
        self._context_tokens = self._growth_tokens = 0
        # How many are expected to need yet another token after the next, and how many of them cease to at a round.
        self._num_growing = 0
        self._ceasing: defaultdict[int, int] = defaultdict(int)
        # By seconds between tokens, when the tightest is due; None where the tightest has left.
        self._next_due: dict[float, float | None] = {}
        # Bounds of the batch decodes: no later than the earliest deadline, no sooner than the latest last round.
        self._batch_due = math.inf
        self._batch_last_round = 0

    def __len__(self) -> int:
        """Return how many requests decode."""
        return len(self._members)

    def __iter__(self) -> Iterator[LiveRequest]:
        """Iterate over the requests in the order in which they began to decode."""
        for member in self._members.values():
            member.write(self._round)
            yield member.live

    def ids(self) -> tuple[str, ...]:
        """Return the requests' ids; the same tuple until somebody joins or leaves."""
        return self._ids

    def add(self, live: LiveRequest) -> None:
        """Put in a request that has its first token."""
        self._join(live)
        self._ids = (*self._ids, live.request.request_id)

    def remove(self, live: LiveRequest) -> None:
        """Take a request out, if it is in."""
        member = self._members.get(live.request.request_id)
        if member is not None:
            self._leave(member)
            del self._members[live.request.request_id]
            self._ids = tuple(self._members)

    def advance(self, request_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Count a token of each of these requests; return those of them that decode, and so have it."""
        if request_ids is self._ids or request_ids == self._ids:
            self._complete_round()
            return request_ids
        ran = set(request_ids)
        skipped = [member for request_id, member in self._members.items() if request_id not in ran]
        for member in skipped:
            self._leave(member)
        self._complete_round(num_skipped=len(skipped))
        for member in skipped:
            self._join(member.live)
        return tuple(request_id for request_id in request_ids if request_id in self._members)

    def survey(self, now: float) -> DecodeSurvey:
        """Look at all decodes together.

        An interactive decode constrains the iteration by when its next token is due. A batch decode constrains it by
        the pace that its deadline asks for, unless it is relegated or asks for more than the decodes alone could give.
        """
        shape = IterationShape(0, len(self._members), self._context_tokens)
        slack = self._tightest_due() - now
        if slack > 0 and self._batch and self._least_pace(now) < slack:
            slack = min(slack, self._tightest_pace(now, attainable=self._predictor.iteration_time(shape)))
        return DecodeSurvey(shape, slack, self._growth_tokens)

    def _join(self, live: LiveRequest) -> None:
        remaining = live.output_remaining
        member = _Member(live, self._round, self._round + remaining)
        self._members[live.request.request_id] = member
        self._context_tokens += live.context_tokens
        self._growth_tokens += remaining
        if remaining > 1:
            self._num_growing += 1
            self._ceasing[member.last_round - 1] += 1
        if live.tbt is not None:
            tightest = self._next_due.get(live.tbt, math.inf)
            if tightest is not None:
                self._next_due[live.tbt] = min(tightest, live.next_due)
        elif not live.relegated:
            self._batch[live.request.request_id] = member
            self._batch_due = min(self._batch_due, live.due)
            self._batch_last_round = max(self._batch_last_round, member.last_round)

    def _leave(self, member: _Member) -> None:
        member.write(self._round)
        live = member.live
        self._context_tokens -= live.context_tokens
        self._growth_tokens -= live.output_remaining
        if member.last_round - self._round > 1:
            self._num_growing -= 1
            self._ceasing[member.last_round - 1] -= 1
        if live.tbt is not None:
            tightest = self._next_due[live.tbt]
            if tightest is not None and live.next_due <= tightest:
                self._next_due[live.tbt] = None
        elif self._batch.pop(live.request.request_id, None) is not None and live.due <= self._batch_due:
            self._batch_due = min((other.live.due for other in self._batch.values()), default=math.inf)

    def _complete_round(self, num_skipped: int = 0) -> None:
        """Let everybody have one more token, but those skipped, who are counted out."""
        self._round += 1
        self._context_tokens += len(self._members) - num_skipped
        self._growth_tokens -= self._num_growing
        self._num_growing -= self._ceasing.pop(self._round, 0)
        for tbt, due in self._next_due.items():
            if due is not None:
                self._next_due[tbt] = due + tbt

    def _tightest_due(self) -> float:
        """Return the instant at which the most urgent token of an interactive decode is due."""
        tightest = math.inf
        for due in self._next_due.values():
            if due is None:
                return self._tightest_due_of_all()
            if due < tightest:
                tightest = due
        return tightest

    def _tightest_due_of_all(self) -> float:
        """Look for the tightest of each kind anew."""
        self._next_due.clear()
        for live in self:
            if live.tbt is not None:
                self._next_due[live.tbt] = min(live.next_due, self._next_due.get(live.tbt) or math.inf)
        return min((due for due in self._next_due.values() if due is not None), default=math.inf)

    def _least_pace(self, now: float) -> float:
        """Return the seconds a token that no batch decode's pace is below, as long as deadlines have not passed."""
        return (self._batch_due - now) / max(1, self._batch_last_round - self._round)

    def _tightest_pace(self, now: float, *, attainable: float) -> float:
        """Return the fewest seconds a token that keep a batch decode's promise and are more than is attainable."""
        tightest = math.inf
        for member in self._batch.values():
            pace = (member.live.due - now) / max(1, member.last_round - self._round)
            if attainable < pace < tightest and not member.live.relegated:
                tightest = pace
        return tightest
