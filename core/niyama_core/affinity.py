"""Placement by class: answers whose tokens are due one by one keep together, so that other replicas run full chunks."""

import zlib
from collections.abc import Sequence

from niyama_core.hot_value import hot_value
from niyama_core.placement_estimate import Candidate, Placed, PlacementRequest, estimate, work
from niyama_core.slo import Interactive, QosClasses

__all__ = ["ClassAffinity"]

# Share of the TTFT up to which a replica takes more interactive requests before the next one takes any.
_FULL = 0.5
# Batch tokens that may wait where tokens are due: a largest chunk, so that no iteration there is left unfilled.
_STOCK = 8192


@hot_value
class _Seat:
    """A candidate, what becomes of the request there, and who is there already."""

    candidate: Candidate
    placed: Placed
    has_interactive: bool
    has_batch: bool
    batch_tokens: int

    @property
    def is_idle(self) -> bool:
        return not (self.candidate.load.num_requests or self.candidate.num_pending)

    @property
    def name(self) -> str:
        return self.candidate.load.replica

    @property
    def soonness(self) -> tuple[float, tuple[int, int, str]]:
        """By what the sooner of two is told, the less loaded of equals."""
        return self.placed.expected_seconds, work(self.candidate)


class ClassAffinity:
    """Interactive requests on as few replicas as can serve them, batch requests beside them, then on the others.

    One interactive answer is enough to bound every iteration of its replica by its next token; without one an iteration
    computes full chunks, which take a quarter less time for each token on the published profile. So what matters is on
    how many replicas there is any.

    - *Interactive*: the soonest of those without batch requests, which cost nothing; else the first, in the order of
      names, that is expected to serve it within half its TTFT; else the soonest.
    - *Batch*: an idle replica; else the first with interactive answers whose stock of waiting batch prompts is under
      one chunk, because what their tokens leave of each iteration would be lost; else the soonest of those without
      interactive answers; else the soonest of all.

    Always among the replicas that keep the promise, if there are any. Ties go by load, then by name. It trades the time
    to the first token, up to half of what was promised, for capacity.

    Args:
        classes: by which it is known who is interactive, and what is urgent.
        num_routers: routers that place at the same time by the same reports. Each draws one of the best `num_routers`
            by lot, else all would choose the same.
    """

    def __init__(self, classes: QosClasses, num_routers: int = 1) -> None:
        """Start without a lot drawn."""
        self._classes = classes
        self._interactive = frozenset(one.name for one in classes if isinstance(one.slo, Interactive))
        self._num_routers = num_routers
        self._num_lots = 0

    def choose(self, request: PlacementRequest, candidates: Sequence[Candidate]) -> Placed:
        """Return the best candidate."""
        seats = [self._seat(request, candidate) for candidate in candidates]
        able = [seat for seat in seats if seat.placed.feasible] or seats
        if isinstance(request.promise.slo, Interactive):
            best = _for_interactive(request, able, until=_FULL * request.promise.slo.ttft)
        else:
            best = _for_batch(able)
        return self._one_of(best[: self._num_routers], request).placed

    def _seat(self, request: PlacementRequest, candidate: Candidate) -> _Seat:
        interactive = batch = False
        batch_tokens = candidate.pending_prefill_tokens
        for name, load in candidate.load.classes.items():
            if load.num_queued or load.num_decoding or load.num_relegated:
                if name in self._interactive:
                    interactive = True
                else:
                    batch = True
                    batch_tokens += load.queued_prefill_tokens
        return _Seat(candidate, estimate(request, candidate, classes=self._classes), interactive, batch, batch_tokens)

    def _one_of(self, best: Sequence[_Seat], request: PlacementRequest) -> _Seat:
        """Draw one, by a lot that depends on nothing but this router's requests."""
        if len(best) == 1:
            return best[0]
        self._num_lots += 1
        lot = zlib.crc32(b"%d %d" % (self._num_lots, request.num_prompt_tokens))
        return best[lot % len(best)]


def _for_interactive(request: PlacementRequest, seats: Sequence[_Seat], *, until: float) -> Sequence[_Seat]:
    """Return those that suit an interactive request best, the best first; at least one."""
    free = [seat for seat in seats if not seat.has_batch]
    if free:
        return _soonest(free)
    early = [seat for seat in seats if request.elapsed + seat.placed.expected_seconds <= until]
    return sorted(early, key=lambda seat: seat.name) if early else _soonest(seats)


def _for_batch(seats: Sequence[_Seat]) -> Sequence[_Seat]:
    """Return those that suit a batch request best, the best first; at least one."""
    idle = [seat for seat in seats if seat.is_idle]
    if idle:
        return _soonest(idle)
    lacking = [seat for seat in seats if seat.has_interactive and seat.batch_tokens < _STOCK]
    if lacking:
        return sorted(lacking, key=lambda seat: seat.name)
    return _soonest([seat for seat in seats if not seat.has_interactive] or seats)


def _soonest(seats: Sequence[_Seat]) -> Sequence[_Seat]:
    return sorted(seats, key=lambda seat: seat.soonness)
