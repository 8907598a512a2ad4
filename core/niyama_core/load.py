"""What a replica says of its load: a snapshot that placement reads, in plain values.

The wire form is `niyama.v1.ReplicaLoad`. A load is a hint and may be old; whoever reads it knows its age apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["ClassLoad", "ReplicaLoad"]


@dataclass(frozen=True, slots=True)
class ClassLoad:
    """The load of one class on one replica; counts of requests, and prompt tokens that wait to be computed."""

    queued_prefill_tokens: int = 0
    num_queued: int = 0
    num_decoding: int = 0
    num_relegated: int = 0
    relegated_prefill_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """The load of one replica at one moment.

    Attributes:
        replica: name, unique in the cluster.
        address: host:port of its gRPC server.
        sequence: grows with every report of one start.
        incarnation: drawn at random at each start.
        classes: by class name; a class without work may be absent.
        tightest_slack: seconds, the least among decodes with a deadline a token; None without one.
        prefill_tokens_per_second: measured rate of prefill.
        iteration_seconds: measured time of an iteration.
        kv_used_tokens: tokens in the KV cache.
        kv_free_tokens: tokens that still fit.
        draining: takes nothing new.
        engine: `paced` means that no model runs.
        model: served model name.
        bytes_per_token: mean bytes of text for each token of the replica's tokenizer.
        context_tokens: the longest prompt plus answer.
    """

    replica: str
    address: str
    sequence: int = 0
    incarnation: int = 0
    classes: Mapping[str, ClassLoad] = field(default_factory=lambda: MappingProxyType({}))
    tightest_slack: float | None = None
    prefill_tokens_per_second: float = 0.0
    iteration_seconds: float = 0.0
    kv_used_tokens: int = 0
    kv_free_tokens: int = 0
    draining: bool = False
    engine: str = ""
    model: str = ""
    bytes_per_token: float = 4.0
    context_tokens: int = 0

    @property
    def queued_prefill_tokens(self) -> int:
        """Prompt tokens that wait to be computed, of all classes, relegated ones left out."""
        return sum(load.queued_prefill_tokens for load in self.classes.values())

    @property
    def num_requests(self) -> int:
        """Requests that are on the replica, in whatever state."""
        return sum(c.num_queued + c.num_decoding + c.num_relegated for c in self.classes.values())
