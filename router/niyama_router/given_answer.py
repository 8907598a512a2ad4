"""What a client has been given of its answer: enough to go on elsewhere when a replica is lost, and to judge the whole.

A replica that takes an answer over sees only its own part of it. So the router, through which all parts went, says in
the end what became of the promise.
"""

from array import array
from dataclasses import dataclass, field

from niyama.v1 import generation_pb2
from niyama_core.slo import Promise
from niyama_runtime import verdict

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
        emitted = (microseconds / 1e6 for microseconds in self.emitted_us)
        verdict.judge(completion, promise, emitted=emitted, num_before=num_before)
