"""Ranges of rates, and how their curves are drawn."""

import pytest
from matplotlib.figure import Figure
from niyama_core.slo import QosClass, QosClasses
from niyama_eval.contest_plots import Curves, difference_plot, late_tokens_plot, latency_plot, violations_plot
from niyama_eval.contrast import contrasts
from niyama_eval.errors import WorkloadError
from niyama_eval.run_figures import run_figures
from niyama_eval.sweep import SweepPoint, parse_rates

from tests.evaluation.runs import CHAT, NIGHTLY, RUNS

CLASSES = QosClasses(
    {promise.qos_class: QosClass(promise.qos_class, promise.slo) for promise in (CHAT, NIGHTLY)}, default="chat"
)
FIGURES = {policy: run_figures(outcomes) for policy, outcomes in RUNS.items()}
CURVES: Curves = {
    policy: [SweepPoint(2.0, [figures]), SweepPoint(4.0, [figures, FIGURES["niyama"]])]
    for policy, figures in FIGURES.items()
}


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("2,2.5,4", (2.0, 2.5, 4.0)),
        ("4, 2,4", (2.0, 4.0)),
        ("2:6:2", (2.0, 4.0, 6.0)),
        ("0.1:0.4:0.1", (0.1, 0.2, 0.3, 0.4)),
        ("3", (3.0,)),
        ("3:3:1", (3.0,)),
    ],
)
def test_rates_are_a_list_or_a_range_with_both_ends(text: str, rates: tuple[float, ...]) -> None:
    assert parse_rates(text) == rates


@pytest.mark.parametrize("text", ["", "2,", "nan", "inf", "-1,2", "0", "1:inf:1", "2:1:1", "1:2:0", "1:2:3:4", "0:1:1"])
def test_what_names_no_rates_is_refused(text: str) -> None:
    with pytest.raises(WorkloadError, match=r"write rates such as 2,2\.5,4"):
        parse_rates(text)


def test_a_point_is_the_mean_of_its_seeds_with_an_interval() -> None:
    point = CURVES["sarathi-fcfs"][1]
    assert point.mean["violations"]["all"] == pytest.approx(1 / 3)
    interval = point.interval("violations", "all")
    assert interval is not None
    assert interval.ci is not None
    assert interval.ci[0] <= 1 / 3 <= interval.ci[1]
    assert point.interval("violations", "long prompts") is None


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def heights(figure: Figure, panel: int) -> list[list[float]]:
    return [list(map(float, line.get_ydata())) for line in figure.axes[panel].lines]  # type: ignore[arg-type]


def test_violations_are_drawn_with_long_and_short_prompts_apart() -> None:
    figure = violations_plot(CURVES, limit=0.01)
    assert titles(figure) == ["all", "important", "short prompts", "long prompts"]
    fcfs, niyama, limit = heights(figure, 0)
    assert fcfs == pytest.approx([2 / 3, 1 / 3])
    assert niyama == [0.0, 0.0]
    assert limit == [0.01, 0.01]


def test_every_class_has_its_time_drawn_beside_what_it_was_promised() -> None:
    figure = latency_plot(CURVES, CLASSES)
    assert titles(figure) == ["median, chat", "median, nightly", "p99, chat", "p99, nightly"]
    assert heights(figure, 0)[-1] == [1.0, 1.0]
    assert heights(figure, 1)[-1] == [60.0, 60.0]


def test_late_tokens_are_drawn_for_classes_that_have_token_deadlines() -> None:
    assert titles(late_tokens_plot(CURVES, CLASSES, limit=0.001)) == ["class chat"]


def test_differences_are_drawn_for_every_group_that_has_any() -> None:
    differences = list(contrasts([FIGURES["niyama"]] * 2, [FIGURES["sarathi-fcfs"]] * 2))
    figure = difference_plot({"sarathi-fcfs": differences}, first="niyama")
    drawn = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert drawn == ["all", "important", "low importance", "short prompts", "class chat", "class nightly"]
