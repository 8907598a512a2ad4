"""A predictor that learns from every iteration: follows a machine that drifts, and knows how far it may be off.

A profile was measured on another day, perhaps on another machine. `CalibratedLatency` stands around its model and
corrects it by factors: one for everything, and small ones by the size of the chunk and by the number of decodes, for
what the model has wrong in one region only. Each iteration moves them a little, by its error in logarithms, so that
being 20 % under weighs as much as being 20 % over. No single iteration moves them far: an error counts for at most
three times the usual one, so a stall of a second among iterations of 50 ms is hardly felt, while a lasting change is
followed within some hundred iterations. All factors are bounded, so nothing diverges whatever is measured.

It also keeps, for each size of chunk, the quantile of how much longer iterations took than predicted: a safety margin
that is measured, where a fixed factor is guessed. `with_margin` is the model of times with that margin:

    predictor.with_margin().iteration_time(shape) <= slack       # with the usual quantile late once in a hundred times

Whoever runs iterations tells it of each by `observe`; `IterationPlanner.record` does. It is deterministic and takes
nothing from elsewhere, so the replay of a decision log goes through the same states.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from niyama_core.latency import IterationShape, LatencyModel

__all__ = ["CalibratedLatency", "LatencyWithMargin"]

_GAIN = 0.02
_WARM_UP = 10
_REGION_GAIN = 0.01
_REGION_LEAK = 0.0005
_CLIP = 3.0
_SPREAD_GAIN = 0.02
_MEAN_TO_SIGMA = 1.25
_SPREAD_BOUNDS = (0.01, 0.2)
_QUANTILE = 0.99
_MARGIN_STEP = 0.02

_LOG_BOUNDS = (math.log(1 / 8), math.log(8))
_REGION_BOUNDS = (-0.15, 0.15)
_FIRST_MARGIN = math.log(1.2)
_MARGIN_BOUNDS = (0.01, math.log(2))

# Tokens of prefill, sequences that decode. 0 tokens stand apart: an iteration of decodes alone runs other kernels.
_PREFILL_NODES = (1, 256, 512, 1024, 2048)
_DECODE_NODES = (0, 16, 64, 256)


class CalibratedLatency:
    """A latency model with corrections that are learned from what iterations took.

    Args:
        model: what it begins with.
        quantile: the share of iterations that shall be over within the margin, above 0.5 and below 1.
    """

    def __init__(self, model: LatencyModel, *, quantile: float = _QUANTILE) -> None:
        """Begin with the model as it is, and with a margin of a fifth."""
        self._model = model
        self._quantile = quantile
        self._everything = 0.0
        self._decodes_alone = _Bends(_ONE_PLACE)
        self._by_prefill = _Bends(_PREFILL_PLACES)
        self._by_decodes = _Bends(_DECODE_PLACES)
        self._margins = [_FIRST_MARGIN] * (len(_PREFILL_NODES) + 1)
        self._spread = _SPREAD_BOUNDS[1] / _CLIP
        self.num_observed = 0
        """Iterations that it has learned from."""

    def iteration_time(self, shape: IterationShape) -> float:
        """Return the seconds that an iteration of this shape is expected to take: half take longer."""
        return self._model.iteration_time(shape) * math.exp(self._correction(shape))

    def safe_iteration_time(self, shape: IterationShape) -> float:
        """Return the seconds within which an iteration of this shape is over, but for the share beyond the quantile."""
        margin = self._margins[_margin_of(shape)]
        return self._model.iteration_time(shape) * math.exp(self._correction(shape) + margin)

    def with_margin(self) -> "LatencyWithMargin":
        """Return the model whose times are the safe ones of this; it learns with it."""
        return LatencyWithMargin(self)

    def quantile_factor(self, shape: IterationShape) -> float:
        """Return `safe_iteration_time` over `iteration_time`: what stands for the fixed factor of safety."""
        return math.exp(self._margins[_margin_of(shape)])

    def correction_factor(self, shape: IterationShape) -> float:
        """Return `iteration_time` over what the model alone says."""
        return math.exp(self._correction(shape))

    def observe(self, shape: IterationShape, seconds: float) -> None:
        """Learn from an iteration; one without work or without a time that can be is passed over."""
        if not shape.num_tokens or not 0.0 < seconds < math.inf:
            return
        error = math.log(seconds / self._model.iteration_time(shape)) - self._correction(shape)
        self._widen(_margin_of(shape), error)
        bound = _CLIP * self._spread
        clipped = _within(error, (-bound, bound))
        spread = self._spread + _SPREAD_GAIN * (_MEAN_TO_SIGMA * abs(clipped) - self._spread)
        self._spread = _within(spread, _SPREAD_BOUNDS)
        gain = max(_GAIN, 1 / (self.num_observed + _WARM_UP))
        self._everything = _within(self._everything + gain * clipped, _LOG_BOUNDS)
        self._bends_of(shape).move(shape.prefill_tokens, clipped)
        self._by_decodes.move(shape.num_decodes, clipped)
        self.num_observed += 1

    def _correction(self, shape: IterationShape) -> float:
        tokens = shape.prefill_tokens
        by_chunk = self._by_prefill.at(tokens) if tokens else self._decodes_alone.at(0)
        return self._everything + by_chunk + self._by_decodes.at(shape.num_decodes)

    def _bends_of(self, shape: IterationShape) -> "_Bends":
        return self._by_prefill if shape.prefill_tokens else self._decodes_alone

    def _widen(self, region: int, error: float) -> None:
        """Move a margin to where as many errors exceed it as shall: far up for one that does, a bit down for others."""
        margin = self._margins[region]
        step = self._quantile if error > margin else self._quantile - 1
        self._margins[region] = _within(margin + _MARGIN_STEP * step, _MARGIN_BOUNDS)


@dataclass(frozen=True, slots=True)
class LatencyWithMargin:
    """The times of a calibrated model with its measured margin."""

    calibrated: CalibratedLatency

    def iteration_time(self, shape: IterationShape) -> float:
        """Return the seconds within which an iteration of this shape is over, but for a small share."""
        return self.calibrated.safe_iteration_time(shape)


class _Bends:
    """A small correction, in logarithms, that is linear between nodes and level outside of them."""

    def __init__(self, places: Sequence[tuple[int, float]]) -> None:
        """Begin without any; `places` are those of the nodes."""
        self._places = places
        self._logs = [0.0] * (places[-1][0] + 1)

    def at(self, x: int) -> float:
        """Return the correction at `x`."""
        left, share = self._places[x] if x < len(self._places) else self._places[-1]
        low = self._logs[left]
        return low + share * (self._logs[left + 1] - low) if share else low

    def move(self, x: int, error: float) -> None:
        """Move the nodes about `x` by their share of an error; all that is not confirmed wears off."""
        left, share = self._places[x] if x < len(self._places) else self._places[-1]
        self._nudge(left, (1 - share) * error)
        if share:
            self._nudge(left + 1, share * error)

    def _nudge(self, node: int, error: float) -> None:
        moved = (1 - _REGION_LEAK) * self._logs[node] + _REGION_GAIN * error
        self._logs[node] = _within(moved, _REGION_BOUNDS)


def _places(nodes: tuple[int, ...]) -> tuple[tuple[int, float], ...]:
    """Return, for every number up to the last node, the node left of it and how far on the way to the next it is."""
    before = [(0, 0.0)] * nodes[0]
    between = [
        (left, (x - low) / (high - low)) for left, (low, high) in enumerate(pairwise(nodes)) for x in range(low, high)
    ]
    return (*before, *between, (len(nodes) - 1, 0.0))


_ONE_PLACE: Sequence[tuple[int, float]] = ((0, 0.0),)
_PREFILL_PLACES: Sequence[tuple[int, float]] = _places(_PREFILL_NODES)
_DECODE_PLACES: Sequence[tuple[int, float]] = _places(_DECODE_NODES)


def _within(value: float, bounds: tuple[float, float]) -> float:
    """Return the value, or the bound that it is beyond; in a third of the time of `min` and `max`."""
    least, most = bounds
    if value < least:
        return least
    return most if value > most else value


def _margin_of(shape: IterationShape) -> int:
    """Return which margin is for iterations of a shape: one for each size of chunk."""
    return bisect_right(_PREFILL_NODES, shape.prefill_tokens)
