"""What an answer came to that several replicas have given, for the message that closes it.

A replica that takes an answer over sees only its own part of it. So whoever puts the parts together, a router or a
client that streams from replicas itself, says in the end what became of the promise.
"""

from collections.abc import Iterable

from niyama.v1 import generation_pb2
from niyama_core.delivery import Delivery
from niyama_core.slo import Promise

from niyama_runtime import wire

__all__ = ["judge"]


def judge(
    completion: generation_pb2.Completion, promise: Promise, *, emitted: Iterable[float], num_before: int = 0
) -> None:
    """Write into a closing message what the whole answer came to.

    Args:
        completion: as the last replica sent it.
        promise: of the request.
        emitted: when each token was emitted, in seconds since the arrival.
        num_before: tokens that came before those, of which nobody knows when.
    """
    delivery = Delivery(promise, arrival=0.0, num_before=num_before)
    delivery.take(emitted)
    completion.num_late_tokens = delivery.num_late_tokens
    completion.on_time = delivery.is_on_time
    times = {"ttft": delivery.ttft, "largest_tbt": delivery.largest_tbt, "ttlt": delivery.ttlt}
    for name, seconds in times.items():
        if seconds is not None:
            getattr(completion, name).CopyFrom(wire.duration_to_wire(seconds))
