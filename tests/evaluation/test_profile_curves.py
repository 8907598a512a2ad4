"""What a profile says: iterations by chunk, and the largest chunk that fits a time."""

from dataclasses import replace

import pytest
from niyama_core.latency import ScaledLatency
from niyama_eval.profile_curves import Company, chunk_curve, slack_curve
from niyama_eval.profile_plots import profile_plot

from tests.builders import A100, SteadyLaw

COMPANY = Company(num_decodes=16, context_tokens=1000, prefill_context_tokens=500)


def test_the_company_of_a_chunk_is_summed_as_planners_sum_it() -> None:
    shape = COMPANY.shape(100)
    assert (shape.num_tokens, shape.decode_context_tokens, shape.prefill_context_tokens) == (116, 16_000, 500)
    assert shape.prefill_attention == 100 * 550
    assert COMPANY.shape(0).prefill_context_tokens == 0


def test_a_curve_has_predictor_law_and_throughput() -> None:
    slow = replace(A100, predictor=ScaledLatency(A100.law, 2.0))
    for point in chunk_curve(slow, COMPANY, chunks=(0, 512)):
        assert point.predicted_seconds == pytest.approx(2 * point.law_seconds)
        assert point.prefill_tokens_per_second == point.chunk_tokens / point.law_seconds


def test_nothing_to_do_is_no_iteration() -> None:
    assert [point.chunk_tokens for point in chunk_curve(A100, Company(0), chunks=(0, 64))] == [64]


def test_the_largest_chunk_fits_and_a_hundredth_more_does_not() -> None:
    for point in slack_curve(A100, COMPANY, slacks=(0.05, 0.1, 0.2)):
        assert point.chunk_tokens is not None
        assert A100.predictor.iteration_time(COMPANY.shape(point.chunk_tokens)) <= point.slack_seconds
        larger = COMPANY.shape(point.chunk_tokens + max(point.chunk_tokens // 100, 2))
        assert A100.predictor.iteration_time(larger) > point.slack_seconds


def test_decodes_that_do_not_fit_leave_no_chunk_and_no_throughput() -> None:
    (tight,) = slack_curve(A100, COMPANY, slacks=(0.001,))
    assert (tight.chunk_tokens, tight.prefill_tokens_per_second) == (None, 0.0)


def test_the_picture_names_every_company_once() -> None:
    figure = profile_plot(replace(A100, law=SteadyLaw()), [Company(0), Company(64)])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["0 decodes", "64 decodes", "predictor", "law"]
