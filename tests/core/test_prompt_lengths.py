"""What counts as a long prompt follows the traffic."""

import math

import pytest
from niyama_core.prompt_lengths import PromptLengths


def lengths_of(prompts: list[int]) -> PromptLengths:
    lengths = PromptLengths()
    for prompt in prompts:
        lengths.record(prompt)
    return lengths


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_quantile_is_right_to_a_tenth(share: float) -> None:
    lengths = lengths_of(list(range(1, 2001)))
    assert 0.89 * share * 2000 <= lengths.quantile(share) <= 1.01 * share * 2000


def test_a_few_prompts_say_nothing() -> None:
    assert lengths_of([100] * 10).quantile(0.5) == math.inf


def test_what_was_long_is_forgotten_when_prompts_become_longer() -> None:
    lengths = lengths_of([100] * 10_000 + [5000] * 30_000)
    assert lengths.quantile(0.5) > 4000


def test_an_empty_prompt_is_counted_too() -> None:
    assert lengths_of([0] * 100).quantile(0.5) == 1.0
