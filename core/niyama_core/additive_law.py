"""What a random forest knows of an iteration's time, compiled into a few curves that are read in microseconds.

A forest of hundreds of trees takes milliseconds to ask, and its steps go down as well as up. Whoever fits one
(`niyama profile fit`) therefore compiles it when the profile is written: into a sum of curves, one for each thing that
an iteration's time depends on. No curve falls, so more prefill never takes less time, which a search for the largest
chunk relies on; and beyond the last record each goes on by the slope of a physical law, where a forest would stay flat.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from niyama_core.latency import IterationShape

__all__ = ["AdditiveLaw", "Curve"]


@dataclass(frozen=True, slots=True)
class Curve:
    """A piecewise linear function of a number from 0 on that never falls.

    Attributes:
        starts: where each piece begins, ascending; the first begins at 0.
        values: seconds at each start.
        slopes: seconds for each unit within each piece; the last goes on for ever.
    """

    starts: tuple[float, ...] = (0.0,)
    values: tuple[float, ...] = (0.0,)
    slopes: tuple[float, ...] = (0.0,)

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]], *, beyond: float = 0.0) -> "Curve":
        """Return the curve through `points`, which goes on with the slope `beyond` after the last.

        Raises:
            ValueError: there are no points, they do not begin at 0 or ascend, or the curve falls.
        """
        if not points or points[0][0] != 0:
            raise ValueError("a curve begins with a point at 0")
        starts, values = zip(*points, strict=True)
        steps = list(pairwise(points))
        if any(after[0] <= before[0] for before, after in steps):
            raise ValueError("the points of a curve must ascend")
        if beyond < 0 or any(after[1] < before[1] for before, after in steps):
            raise ValueError("a curve may not fall")
        slopes = [(after[1] - before[1]) / (after[0] - before[0]) for before, after in steps]
        return cls(starts, values, (*slopes, beyond))

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """The points that the curve goes through."""
        return tuple(zip(self.starts, self.values, strict=True))

    @property
    def beyond(self) -> float:
        """The slope after the last point."""
        return self.slopes[-1]

    def at(self, x: float) -> float:
        """Return the seconds at `x`, which is 0 or more."""
        piece = bisect_right(self.starts, x) - 1
        return self.values[piece] + self.slopes[piece] * (x - self.starts[piece])


@dataclass(frozen=True, slots=True)
class AdditiveLaw:
    """A sum of curves: `t = tokens(T) + decodes(D) + decode_context(S) + prefill_context(K) + attention(A)` and steps.

    Attributes:
        tokens: of all tokens that the iteration computes, T; holds what every iteration costs.
        decodes: of the sequences that decode, D.
        decode_context: of the decodes' tokens in the KV cache, S.
        prefill_context: of the prefilling requests' tokens in the KV cache, K.
        attention: of the pairs that prefill attention visits, A.
        prefill: seconds for each prefill token beside what `tokens` has for it.
        any_prefill: seconds for there being any prefill.
        any_decode: seconds for there being any decode.
    """

    tokens: Curve
    decodes: Curve
    decode_context: Curve
    prefill_context: Curve
    attention: Curve
    prefill: float = 0.0
    any_prefill: float = 0.0
    any_decode: float = 0.0

    def iteration_time(self, shape: IterationShape) -> float:
        """Return the seconds that an iteration of this shape takes."""
        prefill_tokens, num_decodes = shape.prefill_tokens, shape.num_decodes
        seconds = self.tokens.at(prefill_tokens + num_decodes)
        if prefill_tokens:
            seconds += (
                self.any_prefill
                + self.prefill * prefill_tokens
                + self.prefill_context.at(shape.prefill_context_tokens)
                + self.attention.at(shape.prefill_attention)
            )
        if num_decodes:
            seconds += (
                self.any_decode + self.decodes.at(num_decodes) + self.decode_context.at(shape.decode_context_tokens)
            )
        return seconds
