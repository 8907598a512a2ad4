"""Which replica a request goes to.

A policy looks at candidates, each a load snapshot with what has been placed there since, and says where the request
would fare best and whether its promise would hold. It never waits and never asks anyone; the same objects place in
the router and in the simulator.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Protocol

from niyama_core.load import ReplicaLoad
from niyama_core.slo import Batch, OnOverload, Promise, QosClass, QosClasses, Slo, promised_seconds

__all__ = [
    "PLACEMENTS",
    "Candidate",
    "LeastLoaded",
    "Placed",
    "Placement",
    "PlacementRequest",
    "PromiseFirst",
    "Refusal",
    "RefusalReason",
    "RoundRobin",
    "build_placement",
    "place",
    "rescue",
]

_RESCUE_MARGIN = 0.8
_STALE_SECONDS = 1.0
# Tokens a second of a replica that has not said its own: what the published artifact starts from.
_PRIOR_RATE = 8500.0


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """What placement knows of a request.

    Attributes:
        promise: what it was promised.
        num_prompt_tokens: estimate of the prompt's length.
        expected_output_tokens: estimate of the answer's length.
        elapsed: seconds since its arrival.
        excluded: replicas that it must not go to.
    """

    promise: Promise
    num_prompt_tokens: int
    expected_output_tokens: int
    elapsed: float = 0.0
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A replica as placement sees it.

    Attributes:
        load: its latest report.
        age: seconds since that report.
        pending_prefill_tokens: prompt tokens placed there since, which the report does not count.
        num_pending: requests placed there since.
        serves: the classes that it takes, when the cluster is divided into pools; None for all.
    """

    load: ReplicaLoad
    age: float = 0.0
    pending_prefill_tokens: int = 0
    num_pending: int = 0
    serves: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a request goes, the seconds until it would be served by its promise's measure, and whether that holds."""

    replica: str
    expected_seconds: float
    feasible: bool


class RefusalReason(Enum):
    """Why a request is not placed."""

    NO_REPLICA = "no_replica"
    OVERLOAD = "overload"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request is not placed; `retry_after` seconds from now it is worth another try."""

    reason: RefusalReason
    retry_after: float


class Placement(Protocol):
    """Chooses among candidates."""

    def choose(self, request: PlacementRequest, candidates: Sequence[Candidate]) -> Placed:
        """Return the best of at least one candidate."""
        ...


class RoundRobin:
    """One replica after the other, in each pool. Blind to load: a long prompt makes those that follow it wait."""

    def __init__(self, classes: QosClasses) -> None:
        """Start with the first replica."""
        self._classes = classes
        self._turns: dict[frozenset[str] | None, int] = {}

    def choose(self, request: PlacementRequest, candidates: Sequence[Candidate]) -> Placed:
        """Return the candidate whose turn it is, in the order of names."""
        ordered = sorted(candidates, key=lambda candidate: candidate.load.replica)
        pool = ordered[0].serves
        turn = self._turns.get(pool, 0)
        self._turns[pool] = turn + 1
        return _estimate(request, ordered[turn % len(ordered)], classes=self._classes)


class LeastLoaded:
    """The replica with the fewest prompt tokens that wait, then the fewest requests."""

    def __init__(self, classes: QosClasses) -> None:
        """Keep the classes for the estimate."""
        self._classes = classes

    def choose(self, request: PlacementRequest, candidates: Sequence[Candidate]) -> Placed:
        """Return the candidate with the least work."""
        return _estimate(request, min(candidates, key=_work), classes=self._classes)


class PromiseFirst:
    """The replica where the request is served soonest, among those that keep its promise if there are any.

    A replica serves by deadline, so only work that is at least as urgent counts as ahead of the request.
    """

    def __init__(self, classes: QosClasses) -> None:
        """Keep the classes, by whose times work is more or less urgent."""
        self._classes = classes

    def choose(self, request: PlacementRequest, candidates: Sequence[Candidate]) -> Placed:
        """Return the candidate with the least expected time; feasible ones first, the least loaded of equals."""
        estimates = [(_estimate(request, candidate, classes=self._classes), candidate) for candidate in candidates]
        best, _ = min(estimates, key=lambda e: (not e[0].feasible, e[0].expected_seconds, _work(e[1])))
        return best


PLACEMENTS: Mapping[str, Callable[[QosClasses], Placement]] = MappingProxyType(
    {"niyama": PromiseFirst, "least-loaded": LeastLoaded, "round-robin": RoundRobin}
)


def build_placement(name: str, classes: QosClasses) -> Placement:
    """Return the placement policy of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in PLACEMENTS:
        raise ValueError(f"router.placement {name!r} is unknown: choose one of {', '.join(PLACEMENTS)}")
    return PLACEMENTS[name](classes)


def place(request: PlacementRequest, candidates: Sequence[Candidate], *, policy: Placement) -> Placed | Refusal:
    """Return where a request goes, or why it goes nowhere.

    A promise that no candidate can keep is refused only where its class says so; else the replica relegates or queues.
    """
    able = _able(request, candidates)
    if not able:
        return Refusal(RefusalReason.NO_REPLICA, retry_after=1.0)
    placed = policy.choose(request, able)
    if not placed.feasible and request.promise.on_overload is OnOverload.REJECT:
        late_by = request.elapsed + placed.expected_seconds - promised_seconds(request.promise.slo)
        return Refusal(RefusalReason.OVERLOAD, retry_after=max(0.1, late_by))
    return placed


def rescue(request: PlacementRequest, candidates: Sequence[Candidate], *, policy: Placement) -> Placed | None:
    """Return where a relegated request would still be on time with room to spare, or None.

    The room to spare is hysteresis: a request that only just fits elsewhere would be moved again.
    """
    able = _able(request, candidates)
    if not able:
        return None
    placed = policy.choose(request, able)
    left = promised_seconds(request.promise.slo) - request.elapsed
    return placed if placed.feasible and placed.expected_seconds <= _RESCUE_MARGIN * left else None


def _able(request: PlacementRequest, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that take new requests of this class and are not excluded."""
    wanted, excluded = request.promise.qos_class, request.excluded
    return [
        c
        for c in candidates
        if not c.load.draining and c.load.replica not in excluded and (c.serves is None or wanted in c.serves)
    ]


def _estimate(request: PlacementRequest, candidate: Candidate, *, classes: QosClasses) -> Placed:
    """Return when a candidate would have served the request by its promise's measure."""
    load = candidate.load
    slo = request.promise.slo
    ahead = candidate.pending_prefill_tokens + sum(
        class_load.queued_prefill_tokens
        for name, class_load in load.classes.items()
        if _is_ahead(classes.by_name.get(name), slo)
    )
    rate = load.prefill_tokens_per_second or _PRIOR_RATE
    seconds = (ahead + request.num_prompt_tokens) / rate + load.iteration_seconds
    if isinstance(slo, Batch):
        seconds += request.expected_output_tokens * load.iteration_seconds
    seconds += max(0.0, candidate.age - _STALE_SECONDS)
    feasible = request.elapsed + seconds <= promised_seconds(slo)
    return Placed(load.replica, seconds, feasible)


def _is_ahead(qos_class: QosClass | None, slo: Slo) -> bool:
    """Return whether waiting work of a class is served before a request with this promise."""
    return qos_class is None or promised_seconds(qos_class.slo) <= promised_seconds(slo)


def _work(candidate: Candidate) -> tuple[int, int, str]:
    load = candidate.load
    waiting = load.queued_prefill_tokens + candidate.pending_prefill_tokens
    return waiting, load.num_requests + candidate.num_pending, load.replica
