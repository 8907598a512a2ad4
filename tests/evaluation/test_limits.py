"""Limits that no policy exceeds: the prices of tokens, and the promises that must be broken under overload."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.latency import IterationShape, LinearPiece, TwoPieceLaw
from niyama_core.policies import SchedulerSettings
from niyama_core.profiles import PROFILES
from niyama_core.slo import Batch, Interactive, QosClass, QosClasses
from niyama_eval.limits import Iterations, Limit, UnprovedError, stationary_limit
from niyama_eval.overload_floor import Due, fairest_late, fewest_late, fewest_late_of_lengths, floor
from niyama_eval.settings import WorkloadSettings
from niyama_eval.workloads import WorkloadRequest, generate_seeded
from niyama_sim.cluster import simulate
from niyama_sim.settings import SimulationSettings

from tests.builders import SteadyLaw

ARTIFACT = PROFILES["a100-llama3-8b-artifact"].law
CALIBRATED = PROFILES["a100-llama3-8b"].law
LENGTHS = [(200, 30), (1500, 5), (4000, 300), (9000, 60)]
LIMITS = {
    name: stationary_limit(LENGTHS, law, iterations=Iterations(max_tokens=2552))
    for name, law in (("artifact", ARTIFACT), ("calibrated", CALIBRATED))
}


def one_piece(intercept: float, token: float) -> TwoPieceLaw:
    """Return a law in which every token costs alike."""
    piece = LinearPiece(intercept, token, token, 0.0, 0.0)
    return TwoPieceLaw(0, piece, piece)


def test_where_every_token_costs_alike_a_token_costs_that_and_its_share_of_a_full_iteration() -> None:
    limit = stationary_limit([(1000, 101)], one_piece(0.01, 0.0001), iterations=Iterations(max_tokens=500))
    assert 1 / limit.qps == pytest.approx(1100 * (0.0001 + 0.01 / 500))
    assert limit.prompt_seconds == pytest.approx(1000 * (0.0001 + 0.01 / 500))


def test_a_prompt_that_must_be_cut_pays_for_reading_what_was_before() -> None:
    piece = LinearPiece(0.0, 0.001, 0.001, 0.0, 0.0005)
    limit = stationary_limit([(900, 1)], TwoPieceLaw(0, piece, piece), iterations=Iterations(max_tokens=512))
    assert 1 / limit.qps > 0.9
    assert 1 / limit.qps <= 0.9 + 0.0005 * (900 - 512) + 1e-9, "the shorter chunk first reads the least"


@pytest.mark.parametrize("law", [ARTIFACT, CALIBRATED], ids=["artifact", "calibrated"])
def test_larger_iterations_never_lower_the_limit(law: TwoPieceLaw) -> None:
    limits = [
        stationary_limit(LENGTHS, law, iterations=Iterations(max_tokens=most)).qps for most in (300, 1000, 2552, 8192)
    ]
    assert limits == sorted(limits)
    assert limits[0] < limits[-1]


chunks = st.tuples(st.integers(0, 8000), st.integers(1, 2552))


@given(
    st.sampled_from(["artifact", "calibrated"]),
    st.lists(chunks, max_size=6),
    st.lists(st.integers(1, 8000), max_size=50),
)
def test_no_iteration_takes_less_than_the_prices_of_what_is_in_it(
    name: str, prefills: list[tuple[int, int]], contexts: list[int]
) -> None:
    while prefills and sum(tokens for _, tokens in prefills) + len(contexts) > 2552:
        prefills = prefills[:-1]
    if not prefills and not contexts:
        return
    shape = IterationShape(
        prefill_tokens=sum(tokens for _, tokens in prefills),
        num_decodes=len(contexts),
        decode_context_tokens=sum(contexts),
        prefill_context_tokens=sum(before for before, _ in prefills),
        prefill_attention=sum(tokens * (before + tokens / 2) for before, tokens in prefills),
    )
    law = ARTIFACT if name == "artifact" else CALIBRATED
    assert priced(LIMITS[name], prefills, contexts) <= law.iteration_time(shape) + 1e-9


def priced(limit: Limit, prefills: list[tuple[int, int]], contexts: list[int]) -> float:
    def prompt(before: int, tokens: int) -> float:
        return float(np.diff(limit.prices.prompt_seconds(np.array([before, before + tokens], dtype=float)))[0])

    def answer(context: int) -> float:
        return float(limit.prices.answer_seconds(np.array([float(context)]), np.array([2.0]))[0])

    return sum(prompt(*one) for one in prefills) + sum(map(answer, contexts))


def test_a_law_of_another_form_is_refused() -> None:
    with pytest.raises(UnprovedError, match="SteadyLaw: limits are proved for TwoPieceLaw and PhysicalLaw only"):
        stationary_limit(LENGTHS, SteadyLaw())


def test_without_traffic_there_is_no_limit() -> None:
    with pytest.raises(ValueError, match="no lengths are given"):
        stationary_limit([], ARTIFACT)


HURRIED = QosClasses(
    {
        "chat": QosClass("chat", Interactive(ttft=6.0, tbt=0.05)),
        "summarise": QosClass("summarise", Batch(ttlt=20.0)),
        "nightly": QosClass("nightly", Batch(ttlt=60.0)),
    },
    default="chat",
)


def traffic(qps: float, num_requests: int) -> tuple[WorkloadRequest, ...]:
    asked = WorkloadSettings(workloads=("azure-code-2024",), qps=qps, num_requests=num_requests, context_tokens=16_384)
    return generate_seeded(asked, HURRIED, seed=3)


@pytest.mark.parametrize("policy", ["niyama", "qoserve", "sarathi-fcfs"])
def test_no_simulated_policy_beats_the_limit_or_the_floor(policy: str) -> None:
    requests = traffic(qps=20.0, num_requests=800)
    cluster = SimulationSettings(
        scheduler=SchedulerSettings(policy), profile=PROFILES["a100-llama3-8b-artifact"], noise=0.0
    )
    result = simulate(cluster, requests)
    lengths = [(one.num_prompt_tokens, one.num_output_tokens) for one in requests]
    limit = stationary_limit(lengths, ARTIFACT, iterations=Iterations(max_tokens=8192))
    assert len(requests) / result.seconds <= limit.qps
    late = 1 - sum(outcome.is_on_time for outcome in result.outcomes) / len(requests)
    assert 0.1 < floor(requests, limit.prices, late=fewest_late) <= late


def due(seconds: list[float], available: float) -> Due:
    """Return requests of a hundred prompt tokens a second."""
    return Due(np.array(seconds), np.array(seconds) * 100, available)


def test_the_cheapest_are_served_first() -> None:
    late = [fewest_late(due([1.0, 1.0, 1.0, 5.0], available)) for available in (0.5, 2.0, 3.0, 7.9, 8.0)]
    assert late == [4, 2, 1, 1, 0]


def test_a_bound_on_how_often_long_prompts_miss_makes_more_miss() -> None:
    some_long = [1.0] * 90 + [9.0] * 10
    bounded = partial(fewest_late_of_lengths, long_tokens=500)
    assert fewest_late(due(some_long, 100.0)) == 9
    assert bounded(due(some_long, 100.0)) > 20
    assert fairest_late(due(some_long, 100.0)) > 9
    assert bounded(due(some_long, 180.0)) == fairest_late(due(some_long, 180.0)) == 0


def test_a_load_that_can_be_carried_has_no_floor() -> None:
    requests = traffic(qps=2.0, num_requests=300)
    lengths = [(one.num_prompt_tokens, one.num_output_tokens) for one in requests]
    assert floor(requests, stationary_limit(lengths, ARTIFACT).prices, late=fewest_late) == 0.0
