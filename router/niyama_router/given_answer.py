"""What a client has been given of its answer: enough to go on elsewhere when a replica is lost, and to judge the whole.

A replica that takes an answer over sees only its own part of it. So the router, through which all parts went, says in
the end what became of the promise.
"""

from array import array
from dataclasses import dataclass, field

from niyama.v1 import generation_pb2
from niyama_core.delivery import Delivery
from niyama_core.slo import Promise
from niyama_runtime import wire

__all__ = ["GivenAnswer"]


@dataclass(slots=True, eq=False)
class GivenAnswer:
    """Tokens that have been passed on, in order.

    Attributes:
        token_ids: as the replicas sent them.
        emitted_us: when each was emitted, in microseconds since the arrival; of those that another router passed on,
            which come first, nobody knows.
    """

    token_ids: "array[int]" = field(default_factory=lambda: array("I"))
    emitted_us: "array[int]" = field(default_factory=lambda: array("Q"))

    def __len__(self) -> int:
        return len(self.token_ids)

    def take(self, tokens: generation_pb2.Tokens) -> None:
        """Note tokens that are passed on."""
        self.token_ids.extend(tokens.token_ids)
        self.emitted_us.extend(tokens.emitted_us)

    def judge(self, completion: generation_pb2.Completion, promise: Promise) -> None:
        """Write into a closing message what the whole answer came to, of which its replica saw the end only."""
        num_before = len(self.token_ids) - len(self.emitted_us)
        delivery = Delivery(promise, arrival=0.0, num_before=num_before)
        delivery.take(microseconds / 1e6 for microseconds in self.emitted_us)
        completion.num_late_tokens = delivery.num_late_tokens
        completion.on_time = delivery.is_on_time
        times = {"ttft": delivery.ttft, "largest_tbt": delivery.largest_tbt, "ttlt": delivery.ttlt}
        for name, seconds in times.items():
            if seconds is not None:
                getattr(completion, name).CopyFrom(wire.duration_to_wire(seconds))
