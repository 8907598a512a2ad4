"""Errors of predictors: against the law where it is known, against the median of repeats where it is not."""

import random

import numpy as np
import pytest
from niyama_core.latency import ScaledLatency
from niyama_eval.iteration_records import IterationRecords
from niyama_eval.prediction_errors import (
    error_figures,
    errors_by_region,
    law_reference,
    predicted,
    predicted_while_learning,
    repeats,
)

from tests.builders import A100
from tests.evaluation.iterations import iterations


def alike(seconds: list[float]) -> IterationRecords:
    return IterationRecords.of([(256, 8, 9000, 0, 32768.0, time) for time in seconds])


def test_errors_are_told_with_their_sign() -> None:
    figures = error_figures(np.array([1.1] * 98 + [0.5] * 2), np.ones(100))
    assert figures is not None
    assert figures.num_records == 100
    assert [figures.p50, figures.under_p99] == pytest.approx([0.1, 0.5])
    assert figures.bias == pytest.approx(0.98 * 0.1 - 0.02 * 0.5)


def test_who_is_never_too_short_is_under_by_nothing() -> None:
    figures = error_figures(np.array([1.1, 1.2]), np.ones(2))
    assert figures is not None
    assert figures.under_p99 == 0


def test_the_law_itself_has_no_error_and_its_noise_is_told() -> None:
    records = iterations(A100.law, num=2000, noise=0.05)
    reference = law_reference(A100.law, records)
    figures = error_figures(predicted(A100.law, records), reference.seconds)
    assert figures is not None
    assert figures.p95 == 0
    assert reference.noise_p95 == pytest.approx(1.96 * 0.05, rel=0.1)


def test_real_records_are_compared_with_the_median_of_repeats() -> None:
    rng = random.Random(1)
    reference = repeats(alike([0.045 * (1 + rng.uniform(-0.1, 0.1)) for _ in range(999)]))
    assert reference.name == "the median of repeats"
    assert reference.seconds.tolist() == pytest.approx([0.045] * 999, rel=0.01)
    assert reference.noise_p95 == pytest.approx(0.095, rel=0.1)


def test_what_was_hardly_repeated_is_compared_record_by_record() -> None:
    records = IterationRecords.of([(2**k, 8, 9000, 0, 0.0, 0.01 * k) for k in range(1, 20)])
    reference = repeats(records)
    assert reference.name.startswith("single records")
    assert reference.noise_p95 == 0


def test_errors_stand_by_kind_of_iteration() -> None:
    records = iterations(A100.law, num=2000)
    truth = predicted(A100.law, records)
    off = np.where(records.prefill_tokens == 0, 1.5 * truth, truth)
    by_region = errors_by_region(records, off, reference=truth)
    assert by_region["decodes alone"].bias == pytest.approx(0.5)
    assert by_region["chunks of 1-256"].bias == 0
    assert sum(figures.num_records for name, figures in by_region.items() if "decodes" not in name) + by_region[
        "decodes alone"
    ].num_records == len(records)


def test_learning_takes_the_bias_away() -> None:
    records = iterations(A100.law, num=2000)
    truth = predicted(A100.law, records)
    late = predicted_while_learning(ScaledLatency(A100.law, 0.8), records)[-500:]
    assert float((late / truth[-500:]).mean()) == pytest.approx(1.0, abs=0.02)
