"""The figures of public traces that ship, and the script that derives them."""

import json
import runpy
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from niyama_eval.figures import WORKLOADS, load_figures

DERIVE = Path(__file__).parents[2] / "evaluation" / "derive_figures.py"

# Prompt p50 and p90, answer p50 and p90, as published with the evaluation; the traces of 2023 as counted.
PUBLISHED = {
    "azure-code-2024": (1930, 6251, 8, 43),
    "azure-conv-2024": (928, 3830, 41, 342),
    "sharegpt": (1730, 5696, 415, 834),
    "azure-code-2023": (1469, 5188, 13, 55),
    "azure-conv-2023": (1020, 2735, 129, 424),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_drawn_lengths_have_the_published_percentiles(name: str) -> None:
    sizes = load_figures(name).lengths.draw(200_000, np.random.default_rng(0))
    drawn = [
        *np.percentile(sizes.num_prompt_tokens, [50, 90]),
        *np.percentile(sizes.num_output_tokens, [50, 90]),
    ]
    assert drawn == pytest.approx(PUBLISHED[name], rel=0.02, abs=1)


@pytest.mark.parametrize(
    ("name", "prompt", "answer"),
    [
        ("azure-code-2024", 2511, 23),
        ("azure-conv-2024", 1632, 106),
        ("sharegpt", 2340, 439),
        ("azure-code-2023", 2048, 27.9),
        ("azure-conv-2023", 1155, 211),
    ],
)
def test_drawn_lengths_have_the_mean_of_the_trace(name: str, prompt: float, answer: float) -> None:
    sizes = load_figures(name).lengths.draw(200_000, np.random.default_rng(0))
    assert sizes.num_prompt_tokens.mean() == pytest.approx(prompt, rel=0.02)
    # The longest hundredth of the answers is known by four points, and weighs a tenth of the mean.
    assert sizes.num_output_tokens.mean() == pytest.approx(answer, rel=0.07)


def test_answers_of_sharegpt_depend_on_their_prompts_and_fit_into_its_context() -> None:
    sizes = load_figures("sharegpt").lengths.draw(200_000, np.random.default_rng(0))
    prompts, answers = sizes.num_prompt_tokens, sizes.num_output_tokens
    assert (prompts + answers).max() <= 8192
    assert np.median(answers[prompts <= 36]) > np.median(answers[(prompts > 114) & (prompts <= 330)]) + 50


def test_only_the_traces_of_2023_have_arrivals() -> None:
    with_times = {name: rates for name in WORKLOADS if (rates := load_figures(name).rates)}
    assert set(with_times) == {"azure-code-2023", "azure-conv-2023"}
    for name, rates in with_times.items():
        assert rates.mean * rates.period == pytest.approx(load_figures(name).num_requests)
    assert with_times["azure-code-2023"].mean == pytest.approx(2.56, abs=0.01)


def test_what_ships_is_small_and_says_where_it_comes_from() -> None:
    files = [file for file in resources.files("niyama_eval").joinpath("data").iterdir() if file.name.endswith(".json")]
    assert {file.name for file in files} == {f"{name}.json" for name in WORKLOADS}
    assert sum(len(file.read_bytes()) for file in files) < 100_000
    for file in files:
        origin = json.loads(file.read_text(encoding="utf-8"))["origin"]
        assert all(origin[key] for key in ("dataset", "published_as", "licence", "cite", "changes"))


def test_figures_derived_from_a_file_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"2023-11-16 18:00:{second:02},{100 + second},{second % 3}" for second in (0, 1, 9, 10, 35)]
    trace = tmp_path / "code.csv"
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]))
    monkeypatch.setattr("sys.argv", ["derive", "--azure-code-2023", str(trace), "--output", str(tmp_path)])
    runpy.run_path(str(DERIVE), run_name="__main__")
    figures = json.loads((tmp_path / "azure-code-2023.json").read_text())
    assert figures["num_requests"] == 5
    assert figures["arrivals"]["counts"] == [3, 1, 0, 1]
    assert (figures["prompt_tokens"]["tokens"][0], figures["prompt_tokens"]["tokens"][-1]) == (100, 135)
    assert figures["output_tokens"]["tokens_by_bucket"][0][-1] == 2
