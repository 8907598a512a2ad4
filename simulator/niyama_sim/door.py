"""The cluster's door: which workloads may come, which requests are turned away, and to which router the others come."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from niyama_eval.workloads import WorkloadRequest

from niyama_sim.settings import RateLimit, SimulationSettings

__all__ = ["SimulationError", "TokenBucket", "check_workload", "router_of"]


class SimulationError(ValueError):
    """A workload cannot be run on this cluster; the message names the request at fault."""


@dataclass(slots=True)
class TokenBucket:
    """Lets requests in at a rate, and a burst of them after a pause.

    The usual answer to overload. It sees neither load nor promise, so it refuses short requests and long ones, the
    important and the unimportant alike, also while there would be room.

    Attributes:
        limit: rate and burst.
        level: requests that could come in at once.
        at: the instant of that.
    """

    limit: RateLimit
    level: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        """Start full."""
        self.level = self.limit.burst

    def lets_in(self, now: float) -> bool:
        """Take a request's share out of the bucket, and tell whether it was there."""
        self.level = min(self.limit.burst, self.level + (now - self.at) * self.limit.qps)
        self.at = now
        if self.level < 1.0:
            return False
        self.level -= 1.0
        return True


def router_of(request_id: str, settings: SimulationSettings) -> int:
    """Return to which router a request comes: any of them, by the seed, and by nothing that happens in the run."""
    if settings.num_routers == 1:
        return 0
    return zlib.crc32(f"{settings.seed} {request_id}".encode()) % settings.num_routers


def check_workload(workload: Sequence[WorkloadRequest], settings: SimulationSettings) -> None:
    """Refuse a workload that would go wrong in the middle.

    Raises:
        SimulationError: it is out of order, names a request twice, or has a prompt that no replica can hold.
    """
    seen: set[str] = set()
    before = 0.0
    for asked in workload:
        if not asked.arrival >= before:
            raise SimulationError(f"request {asked.request_id!r} arrives before the one ahead of it: sort by arrival")
        if asked.request_id in seen:
            raise SimulationError(f"request {asked.request_id!r} is there twice: ids must be unique")
        if settings.output_cap(asked.num_prompt_tokens) < 1:
            tokens = f"{asked.num_prompt_tokens} prompt tokens"
            raise SimulationError(f"request {asked.request_id!r} has {tokens}: more than a replica's context holds")
        seen.add(asked.request_id)
        before = asked.arrival
