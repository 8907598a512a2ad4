"""How many tokens an iteration may hold."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from niyama_core.chunking import ARTIFACT_GRID, FixedBudget, SlackGrid, grid_up_to
from niyama_core.latency import IterationShape, LatencyModel
from niyama_core.profiles import PROFILES

ARTIFACT = PROFILES["a100-llama3-8b"].predictor
PREDICTORS = [profile.predictor for profile in PROFILES.values()]

predictors = st.sampled_from(PREDICTORS)
decode_shapes = st.builds(
    lambda num, context: IterationShape(0, num, num * context), st.integers(0, 400), st.integers(1, 4000)
)
slacks = st.floats(-1.0, 1.0) | st.just(math.inf)
contexts = st.integers(0, 16_000)


# Many decodes with short contexts: the artifact's pieces meet with a step down, so 768 fits where 512 does not.
@example(predictor=ARTIFACT, decodes=IterationShape(0, 300, 60_000), slack=0.07, context=0)
@given(predictor=predictors, decodes=decode_shapes, slack=slacks, context=contexts)
def test_the_grid_gives_what_a_search_from_the_largest_down_finds(
    predictor: LatencyModel, decodes: IterationShape, slack: float, context: int
) -> None:
    def fits(budget: int) -> bool:
        prefill = max(0, budget - decodes.num_decodes)
        attention = prefill * (context + prefill / 2)
        shape = IterationShape(prefill, decodes.num_decodes, decodes.decode_context_tokens, context, attention)
        return 1.2 * predictor.iteration_time(shape) <= slack

    expected = max((budget for budget in ARTIFACT_GRID if fits(budget)), default=128)
    assert SlackGrid(predictor).token_budget(decodes, slack, prefill_context_tokens=context) == expected


@given(predictor=predictors, decodes=decode_shapes, slack=slacks, more=st.floats(0, 1), context=contexts)
def test_the_budget_is_never_negative_and_grows_with_slack(
    predictor: LatencyModel, decodes: IterationShape, slack: float, more: float, context: int
) -> None:
    grid = SlackGrid(predictor)
    budget = grid.token_budget(decodes, slack, prefill_context_tokens=context)
    assert 0 < budget <= grid.token_budget(decodes, slack + more, prefill_context_tokens=context)


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_the_largest_budget_is_taken_when_nothing_constrains(predictor: LatencyModel) -> None:
    idle = IterationShape(0, 0, 0)
    assert SlackGrid(predictor).token_budget(idle, math.inf, prefill_context_tokens=0) == 2552


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_an_hour_of_lateness_still_leaves_the_smallest_budget(predictor: LatencyModel) -> None:
    busy = IterationShape(0, 10, 10_000)
    assert SlackGrid(predictor).token_budget(busy, -3600.0, prefill_context_tokens=0) == 128


def test_a_larger_safety_factor_gives_smaller_iterations() -> None:
    decodes = IterationShape(0, 30, 45_000)
    budgets = [
        SlackGrid(PREDICTORS[0], safety=safety).token_budget(decodes, 0.2, prefill_context_tokens=0)
        for safety in (1.0, 1.5, 3.0)
    ]
    assert budgets == sorted(budgets, reverse=True)
    assert budgets[0] > budgets[-1]


@given(decodes=decode_shapes, slack=slacks, context=contexts)
def test_a_fixed_budget_is_blind(decodes: IterationShape, slack: float, context: int) -> None:
    assert FixedBudget(256).token_budget(decodes, slack, prefill_context_tokens=context) == 256


def test_the_grid_ends_at_the_largest_budget_that_is_allowed() -> None:
    assert grid_up_to(ARTIFACT_GRID[-1]) == ARTIFACT_GRID
    assert grid_up_to(600) == (128, 256, 512, 600)
    assert grid_up_to(8192) == (*ARTIFACT_GRID, 8192)
