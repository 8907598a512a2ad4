"""Results as pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from niyama_eval import plots
from niyama_eval.outcomes import RequestOutcome
from niyama_eval.plots import Labels
from niyama_eval.results import summarise

from tests.evaluation.runs import RUNS

SOURCE = "Azure LLM inference trace 2023, code (CC-BY 4.0)"


def every_plot(runs: Mapping[str, Sequence[RequestOutcome]]) -> list[Figure]:
    results = {policy: summarise(run, class_names=["chat", "nightly", "idle"]) for policy, run in runs.items()}
    return [
        plots.attainment_plot(results, source=SOURCE),
        plots.ttft_plot(runs, source=SOURCE),
        plots.ttlt_plot(runs, source=SOURCE),
        plots.timeline_plot(runs, source=SOURCE),
    ]


def words(figure: Figure) -> list[str]:
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    texts += [text.get_text() for legend in figure.legends for text in [legend.get_title(), *legend.get_texts()]]
    return [*texts, figure.get_supxlabel()]


def test_every_plot_has_a_title_its_policies_its_units_and_its_source() -> None:
    for figure in every_plot(RUNS):
        shown = words(figure)
        assert shown[-1] == SOURCE
        assert {"sarathi-fcfs", "niyama"} <= set(shown)
        assert all(legend.get_title().get_text() for legend in figure.legends)
        assert figure.axes[0].get_ylabel()


def test_bars_are_as_high_as_the_share_on_time() -> None:
    bars = plots.attainment_plot({policy: summarise(run) for policy, run in RUNS.items()}).axes[0].containers
    heights = [[patch.get_height() for patch in group] for group in bars]
    # chat, nightly, important, low importance, all
    assert heights == [pytest.approx([0.5, 0, 0.5, 0, 1 / 3]), pytest.approx([1, 1, 1, 1, 1])]


def test_the_promise_is_marked_where_there_is_one() -> None:
    assert "promised 1s" in words(plots.ttft_plot(RUNS))
    assert "promised 60s" in words(plots.ttlt_plot(RUNS))
    assert "promised 60s" not in words(plots.ttft_plot(RUNS))


def test_a_request_without_a_first_token_keeps_its_curve_below_all() -> None:
    lost = plots.ttft_plot({"fcfs": [*RUNS["sarathi-fcfs"][:1], replace(RUNS["sarathi-fcfs"][1], ttft=None)]})
    (curve,) = (line for line in lost.axes[0].lines if line.get_label() == "fcfs")
    assert np.max(np.asarray(curve.get_ydata())) == 0.5


def test_pictures_are_drawn_without_a_screen_and_the_same_each_time(tmp_path: Path) -> None:
    plots.save_png(every_plot(RUNS)[0], tmp_path / "plot.png")
    content = (tmp_path / "plot.png").read_bytes()
    assert content == plots.png(every_plot(RUNS)[0])
    assert imread(BytesIO(content)).shape[2] == 4


@pytest.mark.parametrize("runs", [{}, {"niyama": []}, {"niyama": RUNS["niyama"][:1]}])
def test_runs_with_little_to_show_are_drawn_all_the_same(runs: Mapping[str, Sequence[RequestOutcome]]) -> None:
    for figure in every_plot(runs):
        assert plots.png(figure)


def test_names_that_look_like_formulas_are_shown_as_they_are() -> None:
    runs = {r"$\frac$": [replace(outcome, qos_class="$a_$") for outcome in RUNS["niyama"]]}
    for figure in every_plot(runs):
        assert plots.png(figure)


def test_a_line_plot_marks_its_limit() -> None:
    labels = Labels("Violations against load", "load (requests/s)", "violations", SOURCE)
    figure = plots.line_plot({"niyama": [(1.0, 0.0), (2.0, 0.02)]}, labels, limit=0.01)
    assert {"Violations against load", "niyama", "limit 0.01"} <= set(words(figure))
    assert figure.axes[0].get_xlabel() == "load (requests/s)"
