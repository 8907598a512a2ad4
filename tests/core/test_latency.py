"""How long iterations take: the shipped laws against what is published of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.latency import IterationShape, LatencyModel, ScaledLatency
from niyama_core.profiles import PROFILES

from tests.builders import SteadyLaw

ARTIFACT = PROFILES["a100-llama3-8b-artifact"].law
CALIBRATED = PROFILES["a100-llama3-8b"].law

# The published table, term by term: up to 512 total tokens, above. Seconds.
INTERCEPT = (0.014936, 0.005004)
TOTAL_TOKENS = (5.882475e-5, 2.719050e-5)
PREFILL_TOKENS = (2.247956e-5, 6.863043e-5)
DECODE_TOKENS = (3.634519e-5, -4.143993e-5)
DECODE_CONTEXTS = (1.111258e-7, 1.663409e-7)
PREFILL_CONTEXTS = (7.554773e-7, 2.727223e-6)

laws = pytest.mark.parametrize("law", [ARTIFACT, CALIBRATED], ids=["artifact", "calibrated"])


def an_iteration(total: int, *, decodes: int = 40, context: int = 1500, prefill_context: int = 0) -> IterationShape:
    prefill = total - decodes
    attention = prefill * (prefill_context + prefill / 2)
    return IterationShape(prefill, decodes, decodes * context, prefill_context, attention)


@given(
    prefill=st.integers(0, 3000),
    decodes=st.integers(0, 300),
    context=st.integers(0, 500_000),
    prefill_context=st.integers(0, 20_000),
)
def test_the_artifact_law_is_the_published_table(
    prefill: int, decodes: int, context: int, prefill_context: int
) -> None:
    total = prefill + decodes
    piece = 0 if total <= 512 else 1
    expected = (
        INTERCEPT[piece]
        + TOTAL_TOKENS[piece] * total
        + PREFILL_TOKENS[piece] * prefill
        + DECODE_TOKENS[piece] * decodes
        + DECODE_CONTEXTS[piece] * context
        + PREFILL_CONTEXTS[piece] * prefill_context
    )
    shape = IterationShape(prefill, decodes, context, prefill_context)
    assert ARTIFACT.iteration_time(shape) == pytest.approx(expected)


@laws
def test_330_tokens_take_about_50_ms(law: LatencyModel) -> None:
    assert law.iteration_time(an_iteration(330)) == pytest.approx(0.050, rel=0.1)


@laws
def test_prompts_are_computed_about_twice_as_fast_at_2500_tokens_as_at_256(law: LatencyModel) -> None:
    def rate(total: int) -> float:
        shape = an_iteration(total)
        return shape.prefill_tokens / law.iteration_time(shape)

    assert rate(2500) / rate(256) == pytest.approx(2.0, rel=0.1)


def test_the_two_laws_describe_one_machine() -> None:
    for total in (128, 256, 512, 1024, 2048, 2552):
        shape = an_iteration(total)
        assert CALIBRATED.iteration_time(shape) == pytest.approx(ARTIFACT.iteration_time(shape), rel=0.12)


@laws
def test_longer_contexts_take_longer(law: LatencyModel) -> None:
    assert law.iteration_time(an_iteration(300, context=3000)) > law.iteration_time(an_iteration(300, context=300))
    deep, shallow = an_iteration(300, prefill_context=9000), an_iteration(300)
    assert law.iteration_time(deep) > law.iteration_time(shallow)


@pytest.mark.parametrize("name", PROFILES)
def test_no_policy_plans_with_the_law_that_iterations_obey(name: str) -> None:
    profile = PROFILES[name]
    assert profile.name == name
    assert (profile.law == profile.predictor) == name.endswith("-published"), "those say that they do"


def test_a_machine_twice_as_fast_takes_half_the_time() -> None:
    shape = an_iteration(330)
    fast = PROFILES["a100-llama3-8b"].at_speed(2.0)
    assert fast.law.iteration_time(shape) == pytest.approx(CALIBRATED.iteration_time(shape) / 2)
    assert fast.predictor.iteration_time(shape) == pytest.approx(ARTIFACT.iteration_time(shape) / 2)
    assert fast.kv_capacity_tokens == PROFILES["a100-llama3-8b"].kv_capacity_tokens


def test_a_profile_at_its_own_speed_is_itself() -> None:
    assert PROFILES["a100-llama3-8b"].at_speed(1.0) is PROFILES["a100-llama3-8b"]


def test_a_scaled_law_is_the_law_times_a_factor() -> None:
    assert ScaledLatency(SteadyLaw(), 3.0).iteration_time(an_iteration(50)) == pytest.approx(3 * 0.015)


def test_an_iteration_holds_prefill_and_decode_tokens() -> None:
    assert an_iteration(330).num_tokens == 330
