"""Fitted profiles: near the truth on records that they have not seen, never falling, and fast."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from niyama_agent.profile_fit import fit_profile
from niyama_agent.profiler import fit_forest
from niyama_core.additive_law import AdditiveLaw
from niyama_core.latency import IterationShape
from niyama_core.profile_document import parse_profile, profile_document
from niyama_core.profiles import PROFILES
from niyama_eval.prediction_errors import error_figures, predicted

from tests.builders import A100
from tests.evaluation.iterations import iterations

NUM = 4000
NOISE = 0.05


@pytest.fixture(scope="module")
def compiled() -> AdditiveLaw:
    return fit_forest(iterations(A100.law, num=NUM, noise=NOISE)).compile()


@pytest.mark.parametrize("name", ["a100-llama3-8b", "h100x4-llama3-70b"])
def test_held_out_errors_are_within_the_promise(name: str) -> None:
    profile = PROFILES[name]
    _, report = fit_profile(iterations(profile.law, num=NUM, noise=NOISE), profile, simulated=True)
    assert report.num_held_out == pytest.approx(NUM / 5)
    assert report.by_predictor["compiled"].p95 <= 0.06
    assert report.by_predictor["compiled, calibrated"].under_p99 <= 0.03
    assert all(figures.p95 <= 0.06 for figures in report.by_region.values())
    assert report.noise_p95 == pytest.approx(1.96 * NOISE, rel=0.1)


def test_new_iterations_are_predicted_as_well_as_those_that_were_held_out(compiled: AdditiveLaw) -> None:
    fresh = iterations(A100.law, num=1000, seed=7)
    figures = error_figures(predicted(compiled, fresh), fresh.seconds)
    assert figures is not None
    assert figures.p95 <= 0.04
    assert abs(figures.bias) <= 0.01


def test_larger_chunks_than_any_recorded_are_predicted_by_the_last_slope(compiled: AdditiveLaw) -> None:
    for tokens in (3000, 4096, 6000):
        shape = IterationShape(tokens, 32, 40_000, 0, tokens * tokens / 2)
        assert compiled.iteration_time(shape) == pytest.approx(A100.law.iteration_time(shape), rel=0.15)


def test_stalls_are_left_out_and_usual_records_are_not(compiled: AdditiveLaw) -> None:
    records = iterations(A100.law, num=NUM, noise=NOISE)
    stalled = np.arange(NUM) % 40 == 7
    shaken = replace(records, seconds=np.where(stalled, 8 * records.seconds, records.seconds))
    forest = fit_forest(shaken)
    assert forest.num_stalls == pytest.approx(np.count_nonzero(stalled), abs=4)
    figures = error_figures(predicted(forest.compile(), records), predicted(A100.law, records))
    assert figures is not None
    assert figures.p95 <= 0.06
    assert abs(figures.bias) <= 0.01


def test_a_larger_chunk_never_takes_less_time(compiled: AdditiveLaw) -> None:
    times = [compiled.iteration_time(IterationShape(n, 32, 40_000, 500, n * (500 + n / 2))) for n in range(0, 5000, 7)]
    assert times == sorted(times)


def test_a_call_takes_less_than_twenty_microseconds(compiled: AdditiveLaw) -> None:
    shape = IterationShape(512, 64, 90_000, 1000, 512 * 1256)
    begun = time.thread_time()
    for _ in range(2000):
        compiled.iteration_time(shape)
    assert (time.thread_time() - begun) / 2000 <= 20e-6


def test_a_profile_of_real_records_has_a_law_of_its_own_and_survives_being_written() -> None:
    like = replace(A100, name="mine", gpu="1x L40S")
    profile, report = fit_profile(iterations(A100.law, num=NUM, noise=NOISE), like)
    assert profile.law != profile.predictor
    assert (profile.name, profile.gpu, profile.kv_capacity_tokens) == ("mine", "1x L40S", A100.kv_capacity_tokens)
    assert parse_profile(json.loads(json.dumps(profile_document(profile)))) == profile
    assert report.reference == "single records, for hardly any were repeated"


def test_the_same_records_give_the_same_profile(compiled: AdditiveLaw) -> None:
    assert fit_forest(iterations(A100.law, num=NUM, noise=NOISE)).compile() == compiled
