"""How long the clients of a run stood still for the sake of a fault: pure, from the times at which tokens came.

A client does not know which process its stream is on. It knows that tokens came every so often, and then did not: a
stream is held up by a fault when it was open then and had tokens, and the gap in which the fault falls is much larger
than its others. It has recovered with its next token.
"""

import bisect
import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.losses.streams import Ending, Stream

__all__ = ["HeldUp", "held_up"]

# A gap counts as a hold-up from so many of the stream's own on, and from so many seconds: machines are busy, too.
_MANY_GAPS = 5.0
_LEAST_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class HeldUp:
    """What a fault did to streams.

    Attributes:
        num_open: streams of the SDK that had tokens, and not all, when it happened.
        seconds: of those that were held up, from the fault to the next token, in order.
        first_tokens: of requests that were sent while it lasted, seconds to their first token, in order.
    """

    num_open: int
    seconds: tuple[float, ...]
    first_tokens: tuple[float, ...]

    def __add__(self, other: "HeldUp") -> "HeldUp":
        """Return what two faults of one kind did."""
        return HeldUp(
            self.num_open + other.num_open,
            tuple(sorted((*self.seconds, *other.seconds))),
            tuple(sorted((*self.first_tokens, *other.first_tokens))),
        )


def held_up(streams: Iterable[Stream], *, began: float, ended: float) -> HeldUp:
    """Return what a fault did that began and ended at these instants; streams of plain clients are left out."""
    by_sdk = [stream for stream in streams if not stream.is_plain]
    open_then = [stream for stream in by_sdk if _is_open(stream, began)]
    seconds = [wait for stream in open_then if (wait := _hold_up(stream.times, began)) is not None]
    first = [
        stream.times[0] - stream.sent if stream.times else math.inf for stream in by_sdk if began <= stream.sent < ended
    ]
    return HeldUp(len(open_then), tuple(sorted(seconds)), tuple(sorted(first)))


def _is_open(stream: Stream, instant: float) -> bool:
    """Return whether a stream had tokens at an instant, and more to come."""
    if not stream.times or stream.times[0] > instant:
        return False
    return stream.times[-1] > instant or stream.ending is not Ending.COMPLETED


def _hold_up(times: Sequence[float], instant: float) -> float | None:
    """Return the seconds from an instant to the next token, when that took unusually long."""
    index = bisect.bisect_right(times, instant)
    if index == len(times):
        return math.inf
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    longest = max(_LEAST_SECONDS, _MANY_GAPS * statistics.median(gaps))
    return times[index] - instant if times[index] - times[index - 1] > longest else None
