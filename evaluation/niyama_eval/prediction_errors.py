"""How far predicted iteration times are off: by region of the iterations, and against what is worth comparing with.

A single measured time is the truth times noise, so it tells little of a predictor that is nearer to the truth than the
noise. Where records were simulated, the reference is the law itself, without noise. Where they are real, it is the
median of repeats: records whose figures all agree within 3 %, at least eight of them; how far single repeats are from
their median is told beside it, as the noise that no predictor could foresee.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from niyama_core.calibration import CalibratedLatency
from niyama_core.latency import LatencyModel
from numpy.typing import NDArray

from niyama_eval.iteration_records import IterationRecords

__all__ = [
    "ErrorFigures",
    "Reference",
    "error_figures",
    "errors_by_region",
    "law_reference",
    "predicted",
    "predicted_while_learning",
    "repeats",
]

Column = NDArray[np.float64]
Mask = NDArray[np.bool_]

_LEAST_REPEATS = 8
_ALIKE = np.log(1.03)


@dataclass(frozen=True, slots=True)
class ErrorFigures:
    """Relative errors of predictions, `predicted / reference - 1`.

    Attributes:
        num_records: how many predictions.
        p50: half of them are off by no more than this, either way.
        p95: 95 in 100 are.
        bias: the mean, with its sign: above 0 when times are predicted too long.
        under_p99: 99 in 100 are predicted too short by no more than this; 0 when they are not too short at all.
    """

    num_records: int
    p50: float
    p95: float
    bias: float
    under_p99: float


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What predictions are compared with.

    Attributes:
        seconds: of each record; NaN where there is nothing to compare with.
        name: what it is, in words.
        noise_p95: 95 in 100 measured times are within this of it.
    """

    seconds: Column
    name: str
    noise_p95: float


def predicted(model: LatencyModel, records: IterationRecords) -> Column:
    """Return the seconds that a model predicts for each record."""
    return np.fromiter(map(model.iteration_time, records.shapes()), np.float64, len(records))


def predicted_while_learning(model: LatencyModel, records: IterationRecords) -> Column:
    """Return what a replica would have predicted that learns from each record in turn."""
    calibrated = CalibratedLatency(model)
    predictions = []
    for shape, seconds in zip(records.shapes(), records.seconds.tolist(), strict=True):
        predictions.append(calibrated.iteration_time(shape))
        calibrated.observe(shape, seconds)
    return np.array(predictions)


def law_reference(law: LatencyModel, records: IterationRecords) -> Reference:
    """Return the law that the records were simulated by, without the noise."""
    return _reference(predicted(law, records), records, name="the law without noise")


def repeats(records: IterationRecords) -> Reference:
    """Return the median of each record's repeats; single records when fewer than a tenth of them were repeated."""
    figures = np.column_stack(
        [
            records.prefill_tokens,
            records.num_decodes,
            records.decode_context_tokens,
            records.prefill_context_tokens,
            records.prefill_attention,
        ]
    )
    cells = np.round(np.log1p(figures) / _ALIKE)
    _, cell_of, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    cell_of = cell_of.reshape(-1)
    seconds = np.full(len(records), np.nan)
    for cell in np.flatnonzero(counts >= _LEAST_REPEATS):
        mine = cell_of == cell
        seconds[mine] = np.median(records.seconds[mine])
    if np.isfinite(seconds).mean() < 0.1:
        return _reference(records.seconds, records, name="single records, for hardly any were repeated")
    return _reference(seconds, records, name="the median of repeats")


def error_figures(predictions: Column, reference: Column) -> ErrorFigures | None:
    """Return how far predictions are off, where there is a reference; None where there is none."""
    known = np.isfinite(reference)
    if not known.any():
        return None
    errors = predictions[known] / reference[known] - 1
    p50, p95 = np.quantile(np.abs(errors), (0.5, 0.95))
    under = max(0.0, -float(np.quantile(errors, 0.01)))
    return ErrorFigures(int(known.sum()), float(p50), float(p95), float(errors.mean()), under)


def errors_by_region(
    records: IterationRecords, predictions: Column, *, reference: Column
) -> Mapping[str, ErrorFigures]:
    """Return the errors of each kind of iteration that is among the records: by prompt tokens, and by decodes."""
    found = {
        name: error_figures(predictions[mask], reference[mask])
        for name, mask in _regions(records).items()
        if mask.any()
    }
    return {name: figures for name, figures in found.items() if figures is not None}


def _regions(records: IterationRecords) -> Mapping[str, Mask]:
    chunk, decodes = records.prefill_tokens, records.num_decodes
    regions: dict[str, Mask] = {"decodes alone": chunk == 0}
    for least, most in ((1, 256), (257, 512), (513, 1024), (1025, 2048)):
        regions[f"chunks of {least:,}-{most:,}"] = (chunk >= least) & (chunk <= most)
    regions["chunks above 2,048"] = chunk > 2048
    for least, most in ((0, 15), (16, 63), (64, 127)):
        regions[f"{least}-{most} decodes"] = (decodes >= least) & (decodes <= most)
    regions["128 decodes and more"] = decodes >= 128
    return regions


def _reference(seconds: Column, records: IterationRecords, *, name: str) -> Reference:
    known = np.isfinite(seconds)
    noise = np.abs(records.seconds[known] / seconds[known] - 1)
    return Reference(seconds, name, float(np.quantile(noise, 0.95)))
