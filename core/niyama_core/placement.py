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

from niyama_core.affinity import ClassAffinity
from niyama_core.placement_estimate import Candidate, Forecast, Placed, PlacementRequest
from niyama_core.placement_rules import LeastLoaded, RoundRobin
from niyama_core.slo import QosClasses, promised_seconds

__all__ = [
    "PLACEMENTS",
    "Candidate",
    "Forecast",
    "Placed",
    "Placement",
    "PlacementRequest",
    "Refusal",
    "RefusalReason",
    "build_placement",
    "place",
    "rescue",
]

_RESCUE_MARGIN = 0.8


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


PLACEMENTS: Mapping[str, Callable[[QosClasses, int], Placement]] = MappingProxyType(
    {"niyama": ClassAffinity, "least-loaded": LeastLoaded, "round-robin": RoundRobin}
)


def build_placement(name: str, classes: QosClasses, *, num_routers: int = 1) -> Placement:
    """Return the placement policy of that name, for one of `num_routers` routers that know the same reports.

    Raises:
        ValueError: there is none.
    """
    if name not in PLACEMENTS:
        raise ValueError(f"router.placement {name!r} is unknown: choose one of {', '.join(PLACEMENTS)}")
    return PLACEMENTS[name](classes, num_routers)


def place(request: PlacementRequest, candidates: Sequence[Candidate], *, policy: Placement) -> Placed | Refusal:
    """Return where a request goes, or that there is no replica for it.

    A promise that no candidate can keep is left to the replica, which relegates or queues; `door` refuses some before.
    """
    able = _able(request, candidates)
    if not able:
        return Refusal(RefusalReason.NO_REPLICA, retry_after=1.0)
    return policy.choose(request, able)


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
