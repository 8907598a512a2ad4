"""A predictor that learns: it follows what lasts, is hardly moved by what does not, and knows how far it may be off."""

import math
import random
import statistics
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.calibration import CalibratedLatency
from niyama_core.chunking import ARTIFACT_GRID, SlackGrid
from niyama_core.latency import IterationShape, LatencyModel, ScaledLatency
from niyama_core.planner import IterationPlanner
from niyama_core.policies import SchedulerSettings, build_policy, build_predictor
from niyama_core.profiles import PROFILES

from tests.builders import A100, SteadyLaw, a_request

DECODES = IterationShape(0, 32, 40_000)
CHUNK = IterationShape(1024, 32, 40_000, prefill_attention=1024 * 512)
NOISE = 0.05


def traffic(seed: int = 0) -> Iterator[IterationShape]:
    """Yield iterations as they come, decodes alone and chunks of all sizes."""
    rng = random.Random(seed)
    decodes = 32
    while True:
        decodes = min(128, max(1, decodes + rng.randint(-3, 3)))
        tokens = 0 if rng.random() < 0.3 else rng.choice((128, 256, 512, 1024, 2048)) - rng.randint(0, 100)
        context = rng.randint(0, 2000) if tokens else 0
        yield IterationShape(tokens, decodes, decodes * 1200, context, tokens * (context + tokens / 2))


def run(predictor: CalibratedLatency, law: LatencyModel, *, seconds: float, seed: int = 0) -> list[float]:
    """Let iterations follow one another for some seconds; return by what factor each was predicted too long."""
    rng = random.Random(seed)
    off, now = [], 0.0
    for shape in traffic(seed):
        true = law.iteration_time(shape)
        off.append(predictor.iteration_time(shape) / true)
        taken = true * math.exp(rng.gauss(0, NOISE))
        predictor.observe(shape, taken)
        now += taken
        if now >= seconds:
            return off
    raise AssertionError("traffic does not end")


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def test_nothing_observed_is_the_model_itself_with_the_published_margin() -> None:
    predictor = CalibratedLatency(A100.predictor)
    assert predictor.iteration_time(CHUNK) == A100.predictor.iteration_time(CHUNK)
    assert predictor.quantile_factor(CHUNK) == pytest.approx(1.2)
    assert predictor.safe_iteration_time(CHUNK) == pytest.approx(1.2 * predictor.iteration_time(CHUNK))


@pytest.mark.parametrize("drift", [0.7, 1.3])
def test_a_drift_of_a_third_is_followed_within_a_minute_of_iterations(drift: float) -> None:
    predictor = CalibratedLatency(A100.law)
    run(predictor, A100.law, seconds=120)
    drifted = ScaledLatency(A100.law, drift)
    run(predictor, drifted, seconds=20)
    within_the_minute = [abs(off - 1) for off in run(predictor, drifted, seconds=40, seed=1)]
    assert quantile(within_the_minute, 0.95) <= 0.03


@pytest.mark.parametrize("name", PROFILES)
def test_a_calibrated_predictor_is_within_a_few_percent_of_the_law(name: str) -> None:
    profile = PROFILES[name]
    predictor = CalibratedLatency(profile.predictor)
    run(predictor, profile.law, seconds=180)
    off = run(predictor, profile.law, seconds=120, seed=1)
    assert quantile([abs(factor - 1) for factor in off], 0.95) <= 0.06
    assert statistics.fmean(off) == pytest.approx(1.0, abs=0.01)


def test_a_predictor_that_knows_the_shape_is_not_under_by_more_than_three_percent() -> None:
    predictor = CalibratedLatency(ScaledLatency(A100.law, 0.8))
    run(predictor, A100.law, seconds=60)
    off = run(predictor, A100.law, seconds=300, seed=1)
    assert quantile(off, 0.01) >= 0.97


@pytest.mark.parametrize("quantile", [0.8, 0.9, 0.95, 0.99])
def test_the_margin_is_exceeded_as_often_as_its_quantile_says(quantile: float) -> None:
    predictor = CalibratedLatency(A100.predictor, quantile=quantile)
    safely = predictor.with_margin()
    run(predictor, A100.law, seconds=120)
    rng = random.Random(5)
    late = []
    for shape, _ in zip(traffic(3), range(5000), strict=False):
        seconds = A100.law.iteration_time(shape) * math.exp(rng.gauss(0, NOISE))
        late.append(seconds > safely.iteration_time(shape))
        predictor.observe(shape, seconds)
    assert 0.4 * (1 - quantile) <= statistics.fmean(late) <= 2 * (1 - quantile)
    assert predictor.quantile_factor(CHUNK) < 1.2


def test_a_measured_margin_stands_in_place_of_the_factor_of_safety() -> None:
    settings = SchedulerSettings(policy="qoserve", calibrated=True, margin_quantile=0.9, safety=5.0)
    predictor = build_predictor(settings, A100.law)
    assert isinstance(predictor, CalibratedLatency)
    chunking = build_policy(settings, predictor).chunking
    decodes = IterationShape(0, 32, 40_000)
    fixed = SlackGrid(A100.law, safety=1.2)
    before = chunking.token_budget(decodes, 0.2, prefill_context_tokens=0)
    assert before == fixed.token_budget(decodes, 0.2, prefill_context_tokens=0)
    run(predictor, A100.law, seconds=60)
    assert chunking.token_budget(decodes, 0.2, prefill_context_tokens=0) > before


def test_a_stall_is_hardly_felt() -> None:
    predictor = CalibratedLatency(A100.law)
    run(predictor, A100.law, seconds=60)
    before = predictor.iteration_time(CHUNK)
    predictor.observe(CHUNK, 10 * A100.law.iteration_time(CHUNK))
    assert predictor.iteration_time(CHUNK) == pytest.approx(before, rel=0.01)


def test_what_is_wrong_in_one_region_only_is_learned_there() -> None:
    class SlowDecodes:
        def iteration_time(self, shape: IterationShape) -> float:
            return SteadyLaw().iteration_time(shape) * (1.0 if shape.prefill_tokens else 1.15)

    predictor = CalibratedLatency(SteadyLaw())
    run(predictor, SlowDecodes(), seconds=600)
    assert predictor.correction_factor(DECODES) == pytest.approx(1.15, rel=0.03)
    assert predictor.correction_factor(CHUNK) == pytest.approx(1.0, rel=0.03)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_a_time_that_cannot_be_teaches_nothing(seconds: float) -> None:
    predictor = CalibratedLatency(A100.law)
    predictor.observe(CHUNK, seconds)
    predictor.observe(IterationShape(0, 0, 0), 0.1)
    assert predictor.num_observed == 0
    assert predictor.iteration_time(CHUNK) == A100.law.iteration_time(CHUNK)


shapes = st.builds(
    lambda p, d, s: IterationShape(p, d, d * s, 0, p * p / 2),
    st.integers(0, 9000),
    st.integers(0, 400),
    st.integers(1, 9),
)
times = st.floats(1e-9, 1e9) | st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(shapes, times), max_size=60), shapes)
def test_whatever_is_measured_the_correction_stays_within_bounds(
    measured: list[tuple[IterationShape, float]], shape: IterationShape
) -> None:
    predictor = CalibratedLatency(A100.law)
    for one, seconds in measured:
        predictor.observe(one, seconds)
    assert 1 / 12 <= predictor.correction_factor(shape) <= 12
    assert 1 < predictor.quantile_factor(shape) <= 2


def test_a_planner_teaches_its_predictor_what_was_run_as_planned() -> None:
    settings = SchedulerSettings(calibrated=True)
    predictor = build_predictor(settings, A100.predictor)
    assert isinstance(predictor, CalibratedLatency)
    planner = IterationPlanner(build_policy(settings, predictor), predictor)
    planner.admit(a_request(prompt=1000))
    plan = planner.plan(0.0, 10**6)
    planner.record(plan.executed(2 * plan.predicted_seconds), 1.0)
    assert predictor.num_observed == 1
    assert predictor.correction_factor(plan.shape) > 1
    planned = planner.plan(1.0, 10**6).executed(1.0)
    planner.record(replace(planned, decodes=()), 2.0)
    assert predictor.num_observed == 1


def test_without_calibration_the_predictor_is_the_profiles_own() -> None:
    for settings in (SchedulerSettings("qoserve"), SchedulerSettings("niyama", calibrated=False)):
        assert build_predictor(settings, A100.predictor) is A100.predictor


def test_niyama_calibrates_unless_it_is_told_not_to() -> None:
    assert isinstance(build_predictor(SchedulerSettings("niyama"), A100.predictor), CalibratedLatency)


@pytest.mark.parametrize("policy", ["niyama", "qoserve"])
def test_a_plan_asks_its_predictor_as_often_however_many_requests_there_are(policy: str) -> None:
    class Counting:
        num_calls = 0

        def iteration_time(self, shape: IterationShape) -> float:
            self.num_calls += 1
            return A100.predictor.iteration_time(shape)

    def most_calls(num_requests: int) -> int:
        model = Counting()
        planner = IterationPlanner(build_policy(SchedulerSettings(policy), model), model)
        for i in range(num_requests):
            planner.admit(a_request(f"r{i}", prompt=100))
        calls, now = [], 0.0
        for _ in range(20):
            before = model.num_calls
            plan = planner.plan(now, 10**6)
            calls.append(model.num_calls - before)
            now += plan.predicted_seconds
            planner.record(plan.executed(plan.predicted_seconds), now)
        return max(calls)

    assert most_calls(200) <= max(most_calls(5), len(ARTIFACT_GRID) + 1)
