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
from dataclasses import dataclass

from niyama_core.latency import IterationShape, LatencyModel

__all__ = ["CalibratedLatency", "LatencyWithMargin"]

_GAIN = 0.02
_WARM_UP = 10
_REGION_GAIN = 0.01
_REGION_LEAK = 0.0005
_CLIP = 3.0
_SPREAD_GAIN = 0.02
_MEAN_TO_SIGMA = 1.25
_LEAST_SPREAD, _MOST_SPREAD = 0.01, 0.2
_QUANTILE = 0.99
_MARGIN_STEP = 0.02

_LEAST_LOG, _MOST_LOG = math.log(1 / 8), math.log(8)
_REGION_BOUND = 0.15
_FIRST_MARGIN = math.log(1.2)
_LEAST_MARGIN, _MOST_MARGIN = 0.01, math.log(2)

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
        self._decodes_alone = _Bends((0,))
        self._by_prefill = _Bends(_PREFILL_NODES)
        self._by_decodes = _Bends(_DECODE_NODES)
        self._margins = [_FIRST_MARGIN] * (len(_PREFILL_NODES) + 1)
        self._spread = _MOST_SPREAD / _CLIP
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
        error = math.log(seconds / self.iteration_time(shape))
        self._widen(_margin_of(shape), error)
        bound = _CLIP * self._spread
        clipped = min(max(error, -bound), bound)
        self._spread += _SPREAD_GAIN * (_MEAN_TO_SIGMA * abs(clipped) - self._spread)
        self._spread = min(max(self._spread, _LEAST_SPREAD), _MOST_SPREAD)
        gain = max(_GAIN, 1 / (self.num_observed + _WARM_UP))
        self._everything = min(max(self._everything + gain * clipped, _LEAST_LOG), _MOST_LOG)
        self._bends_of(shape).move(shape.prefill_tokens, clipped)
        self._by_decodes.move(shape.num_decodes, clipped)
        self.num_observed += 1

    def _correction(self, shape: IterationShape) -> float:
        by_chunk = self._bends_of(shape).at(shape.prefill_tokens)
        return self._everything + by_chunk + self._by_decodes.at(shape.num_decodes)

    def _bends_of(self, shape: IterationShape) -> "_Bends":
        return self._by_prefill if shape.prefill_tokens else self._decodes_alone

    def _widen(self, region: int, error: float) -> None:
        """Move a margin to where as many errors exceed it as shall: far up for one that does, a bit down for others."""
        margin = self._margins[region]
        step = self._quantile if error > margin else self._quantile - 1
        self._margins[region] = min(max(margin + _MARGIN_STEP * step, _LEAST_MARGIN), _MOST_MARGIN)


@dataclass(frozen=True, slots=True)
class LatencyWithMargin:
    """The times of a calibrated model with its measured margin."""

    calibrated: CalibratedLatency

    def iteration_time(self, shape: IterationShape) -> float:
        """Return the seconds within which an iteration of this shape is over, but for a small share."""
        return self.calibrated.safe_iteration_time(shape)


class _Bends:
    """A small correction, in logarithms, that is linear between nodes and level outside of them."""

    def __init__(self, nodes: tuple[int, ...]) -> None:
        """Begin without any."""
        self._nodes = nodes
        self._logs = [0.0] * len(nodes)

    def at(self, x: int) -> float:
        """Return the correction at `x`."""
        left, share = self._place(x)
        if not share:
            return self._logs[left]
        return self._logs[left] + share * (self._logs[left + 1] - self._logs[left])

    def move(self, x: int, error: float) -> None:
        """Move the nodes about `x` by their share of an error; all that is not confirmed wears off."""
        left, share = self._place(x)
        self._nudge(left, (1 - share) * error)
        if share:
            self._nudge(left + 1, share * error)

    def _place(self, x: int) -> tuple[int, float]:
        """Return the node left of `x`, and how far on the way to the next it is, from 0 to 1."""
        left = bisect_right(self._nodes, x) - 1
        if left < 0:
            return 0, 0.0
        if left == len(self._nodes) - 1:
            return left, 0.0
        return left, (x - self._nodes[left]) / (self._nodes[left + 1] - self._nodes[left])

    def _nudge(self, node: int, error: float) -> None:
        moved = (1 - _REGION_LEAK) * self._logs[node] + _REGION_GAIN * error
        self._logs[node] = min(max(moved, -_REGION_BOUND), _REGION_BOUND)


def _margin_of(shape: IterationShape) -> int:
    """Return which margin is for iterations of a shape: one for each size of chunk."""
    return bisect_right(_PREFILL_NODES, shape.prefill_tokens)
