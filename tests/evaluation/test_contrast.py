"""Figures of runs, and contenders set against each other."""

from collections.abc import Mapping

import pytest
from niyama_eval.contrast import Contrast, contrasts, mean_figures
from niyama_eval.run_figures import MEASURES, Figures, run_figures

from tests.evaluation.runs import RUNS


def a_run(**violations: float) -> Figures:
    nothing: Mapping[str, float] = {}
    return {measure: violations if measure == "violations" else nothing for measure in MEASURES}


def the_contrast(first: list[Figures], other: list[Figures]) -> Contrast:
    (one,) = contrasts(first, other)
    return one


def test_a_run_is_told_by_importance_length_and_class() -> None:
    figures = run_figures(RUNS["sarathi-fcfs"], class_names=["nightly", "idle"])
    # Of three short requests, an interactive one is late and a batch one is lost.
    assert figures["violations"] == {
        "all": pytest.approx(2 / 3),
        "important": 0.5,
        "low importance": 1.0,
        "short prompts": pytest.approx(2 / 3),
        "class nightly": 1.0,
        "class chat": 0.5,
    }
    assert list(figures["violations"])[-2:] == ["class nightly", "class chat"]
    assert figures["p50_s"] == {"class chat": 3.5}
    assert figures["late_tokens"] == {"class chat": 0.25}


def test_the_time_of_a_class_is_the_one_that_it_was_promised() -> None:
    figures = run_figures(RUNS["niyama"])
    assert figures["p50_s"] == {"class chat": pytest.approx(0.6), "class nightly": pytest.approx(30.2)}
    assert figures["relegated"]["all"] == pytest.approx(1 / 3)


def test_differences_are_taken_seed_by_seed() -> None:
    # Seeds differ by far more than contenders do, and yet the difference is known.
    one = the_contrast([a_run(all=0.1), a_run(all=0.5)], [a_run(all=0.09), a_run(all=0.49)])
    assert one.difference.mean == pytest.approx(-0.01)
    assert one.verdict == "better"
    assert [one.first, one.other] == pytest.approx([0.3, 0.29])


@pytest.mark.parametrize(
    ("other", "verdict"),
    [([0.1, 0.5], "alike"), ([0.2, 0.6], "worse"), ([0.2, 0.3], "within noise")],
)
def test_a_difference_has_a_verdict(other: list[float], verdict: str) -> None:
    assert the_contrast([a_run(all=0.1), a_run(all=0.5)], [a_run(all=value) for value in other]).verdict == verdict


def test_of_one_seed_nothing_is_known() -> None:
    assert the_contrast([a_run(all=0.1)], [a_run(all=0.5)]).verdict == "one seed: unknown"


def test_a_figure_counts_for_the_seeds_that_have_it() -> None:
    one = the_contrast([a_run(all=0.1), a_run()], [a_run(all=0.2), a_run(all=0.9)])
    assert (one.first, one.other) == (0.1, 0.2)
    assert mean_figures([a_run(all=0.2), a_run()])["violations"] == {"all": 0.2}
