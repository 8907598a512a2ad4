"""The requests that decode, and how long the next iteration may take for their sake."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from niyama_core.latency import IterationShape, LatencyModel
from niyama_core.request import LiveRequest

__all__ = ["DecodeSet", "DecodeSurvey"]


@dataclass(frozen=True, slots=True)
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


class DecodeSet:
    """The requests that have their first token and not yet their last.

    Args:
        predictor: expected time of an iteration.
    """

    def __init__(self, predictor: LatencyModel) -> None:
        """Start empty."""
        self._predictor = predictor
        self._live: dict[str, LiveRequest] = {}

    def __len__(self) -> int:
        """Return how many requests decode."""
        return len(self._live)

    def __iter__(self) -> Iterator[LiveRequest]:
        """Iterate over the requests in the order in which they began to decode."""
        return iter(self._live.values())

    def ids(self) -> tuple[str, ...]:
        """Return the requests' ids."""
        return tuple(self._live)

    def add(self, live: LiveRequest) -> None:
        """Put in a request that has its first token."""
        self._live[live.request.request_id] = live

    def remove(self, live: LiveRequest) -> None:
        """Take a request out, if it is in."""
        self._live.pop(live.request.request_id, None)

    def survey(self, now: float) -> DecodeSurvey:
        """Look at every decode once.

        An interactive decode constrains the iteration by when its next token is due. A batch decode constrains it by
        the pace that its deadline asks for, unless it is relegated or asks for more than the decodes alone could give.
        """
        context_tokens, growth_tokens, next_due = 0, 0, math.inf
        paces: list[float] = []
        for live in self._live.values():
            context_tokens += live.prefilled + live.decoded
            remaining = live.output_remaining
            growth_tokens += remaining
            if live.tbt is not None:
                if live.next_due < next_due:
                    next_due = live.next_due
            elif not live.relegated:
                paces.append((live.due - now) / remaining)
        shape = IterationShape(0, len(self._live), context_tokens)
        slack = next_due - now
        if paces:
            attainable = self._predictor.iteration_time(shape)
            slack = min(slack, min((pace for pace in paces if pace > attainable), default=math.inf))
        return DecodeSurvey(shape, slack, growth_tokens)
