"""Fits latency models to iteration records: a random forest, compiled to what a planner can evaluate in microseconds.

The forest finds what an iteration of each shape usually takes, whatever form the law has. It is far too slow to plan
with (milliseconds a call), knows nothing beyond the records, and may fall where a chunk grows. So it is *compiled*: a
sum of curves that never fall (`niyama_core.additive_law`) is fitted to what the forest says of the recorded shapes, by
non-negative least squares of relative errors. A search for the largest chunk that fits can rely on such a sum, it goes
on with the last slope beyond the records, and it evaluates in microseconds.

The times are fitted in logarithms: half of the iterations of a shape take longer than what is predicted. Stalls (a
pause of the process, another program on the GPU) would make that longer than any usual iteration: a first, small
forest is compiled to find the records that take far longer, and the one that counts is trained without them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
from niyama_core.additive_law import AdditiveLaw, Curve
from niyama_eval.iteration_records import IterationRecords
from niyama_eval.prediction_errors import predicted
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

__all__ = ["MOST_RECORDS", "FittedForest", "fit_curves", "fit_forest"]

MOST_RECORDS = 50_000
"""More are thinned out evenly: they would take long and tell little more."""

_NUM_TREES = 60
_NUM_SCOUTS = 15
# Six times as far off as half of the records are, and half as long again at least: no usual noise is.
_STALL = 6.0
_LEAST_STALL = float(np.log(1.5))
_LEAST_IN_A_LEAF = 8
_LEAST_SECONDS = 1e-6

# Where curves may bend. Kernels compute tokens in tiles: at the ends of the larger ones there may also be a step.
_TOKENS = (64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 1280, 1536, 2048, 3072, 4096)
_STEPS = frozenset((256, 512, 1024, 2048))
_DECODES = (8, 16, 32, 64, 128, 256, 512)
_CONTEXT = (2**15, 2**17, 2**19)
_PREFILL_CONTEXT = (2048, 4096, 8192, 16_384)
_ATTENTION = (2**20, 2**22, 2**24)
# A piece on which fewer records lie would follow their noise.
_LEAST_ON_A_PIECE = 40
# The last slope goes on beyond the records, so it is taken from the last four tenths of their range at least.
_LAST_BEND = 0.6

Column = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FittedForest:
    """A forest that was trained on records.

    Attributes:
        regressor: scikit-learn's, of the logarithm of seconds.
        records: those that it was trained on.
        num_stalls: records that were left out because they are far off all that are like them.
    """

    regressor: RandomForestRegressor
    records: IterationRecords
    num_stalls: int

    def predict(self, records: IterationRecords) -> Column:
        """Return the seconds that the forest predicts for each record."""
        return np.exp(np.asarray(self.regressor.predict(_features(records)), np.float64))

    def compile(self) -> AdditiveLaw:
        """Return the sum of curves that is nearest to what the forest says of its records."""
        return _nearest_curves(self.records, self.predict(self.records))


def fit_forest(records: IterationRecords, *, seed: int = 0) -> FittedForest:
    """Return a forest trained on the records, or on `MOST_RECORDS` of them, without those that are stalls."""
    kept = np.unique(np.linspace(0, len(records) - 1, min(len(records), MOST_RECORDS)).astype(np.int64))
    mask = np.zeros(len(records), np.bool_)
    mask[kept] = True
    records = records.where(mask)
    usual = _usual(records, _trained(records, num_trees=_NUM_SCOUTS, seed=seed))
    steady = records.where(usual)
    return FittedForest(_trained(steady, num_trees=_NUM_TREES, seed=seed), steady, int(np.count_nonzero(~usual)))


def fit_curves(records: IterationRecords) -> AdditiveLaw:
    """Return the sum of curves that is nearest to the records themselves: of a few hundred, too few for a forest."""
    return _nearest_curves(records, records.seconds)


def _trained(records: IterationRecords, *, num_trees: int, seed: int) -> RandomForestRegressor:
    regressor = RandomForestRegressor(num_trees, min_samples_leaf=_LEAST_IN_A_LEAF, random_state=seed)
    return regressor.fit(_features(records), np.log(records.seconds))


def _usual(records: IterationRecords, scout: RandomForestRegressor) -> NDArray[np.bool_]:
    """Return which records do not take far longer than those like them.

    They are compared with the compiled scout: where records are rare, leaves hold unlike ones, and would call the
    largest of them stalls.
    """
    expected = _nearest_curves(records, np.exp(np.asarray(scout.predict(_features(records)), np.float64)))
    off = np.log(records.seconds / predicted(expected, records))
    usual: NDArray[np.bool_] = off <= max(_STALL * float(np.median(np.abs(off))), _LEAST_STALL)
    return usual


def _features(records: IterationRecords) -> Column:
    return np.column_stack(
        [
            records.num_tokens,
            records.prefill_tokens,
            records.num_decodes,
            records.decode_context_tokens,
            records.prefill_context_tokens,
            records.prefill_attention,
        ]
    )


class _Ramps:
    """The pieces of one curve as columns of a regression: each grows within its piece and is level outside."""

    def __init__(self, x: Column, bends: Sequence[int], *, steps: frozenset[int] = frozenset()) -> None:
        self._knots = [0.0]
        for bend in bends:
            before, after = np.count_nonzero((x > self._knots[-1]) & (x <= bend)), np.count_nonzero(x > bend)
            if min(before, after) >= _LEAST_ON_A_PIECE and bend <= _LAST_BEND * x.max():
                self._knots += [float(bend), bend + 1.0] if bend in steps else [float(bend)]
        ends = (*self._knots[1:], np.inf)
        self.columns = [np.clip(x - start, 0.0, end - start) for start, end in zip(self._knots, ends, strict=True)]

    def curve(self, slopes: Sequence[float], *, first: float = 0.0) -> Curve:
        """Return the curve of these slopes that begins with `first`."""
        values = [first]
        for (start, end), slope in zip(pairwise(self._knots), slopes, strict=False):
            values.append(values[-1] + slope * (end - start))
        return Curve.through(list(zip(self._knots, map(_brief, values), strict=True)), beyond=_brief(slopes[-1]))


def _nearest_curves(records: IterationRecords, seconds: Column) -> AdditiveLaw:
    has_prefill, has_decodes = records.prefill_tokens > 0, records.num_decodes > 0
    curves = (
        _Ramps(records.num_tokens, _TOKENS, steps=_STEPS),
        _Ramps(records.num_decodes, _DECODES),
        _Ramps(records.decode_context_tokens, _CONTEXT),
        _Ramps(np.where(has_prefill, records.prefill_context_tokens, 0.0), _PREFILL_CONTEXT),
        _Ramps(records.prefill_attention, _ATTENTION),
    )
    ones = np.ones(len(records))
    single = [ones, records.prefill_tokens, has_prefill.astype(np.float64), has_decodes.astype(np.float64)]
    weights = _relative_least_squares([*single, *(column for ramps in curves for column in ramps.columns)], seconds)
    every, prefill, any_prefill, any_decode = weights[: len(single)]
    slopes = iter(weights[len(single) :])
    tokens, *others = ([*islice(slopes, len(ramps.columns))] for ramps in curves)
    decodes, decode_context, prefill_context, attention = map(_Ramps.curve, curves[1:], others)
    return AdditiveLaw(
        # An iteration takes some time, even where records would have it that only its parts do.
        tokens=curves[0].curve(tokens, first=max(every, _LEAST_SECONDS)),
        decodes=decodes,
        decode_context=decode_context,
        prefill_context=prefill_context,
        attention=attention,
        prefill=_brief(prefill),
        any_prefill=_brief(any_prefill),
        any_decode=_brief(any_decode),
    )


def _relative_least_squares(columns: Sequence[Column], seconds: Column) -> list[float]:
    """Return weights, none below 0, under which the columns add up to the seconds with the least relative errors."""
    table = np.column_stack(columns)
    scales = np.maximum(table.max(axis=0), 1.0)
    fitted = LinearRegression(fit_intercept=False, positive=True)
    fitted.fit(table / scales / seconds[:, None], np.ones(len(seconds)))
    return [float(weight) for weight in fitted.coef_ / scales]


def _brief(number: float) -> float:
    """Return the number with six digits, which keeps the order of numbers: files are read by people, too."""
    return float(f"{number:.6g}")
