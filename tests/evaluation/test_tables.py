"""Results as tables in a terminal."""

import pytest
from niyama_core.slo import Batch, Interactive
from niyama_eval.results import PolicyResult, slos_of, summarise
from niyama_eval.tables import Grade, comparison, comparison_table, format_share, promise_in_words, run_table
from rich.console import Console
from rich.table import Table

from tests.evaluation.runs import RUNS

RESULTS = {policy: summarise(run, class_names=["chat", "nightly", "idle"]) for policy, run in RUNS.items()}


def lines(table: Table) -> list[str]:
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def figures(label: str, results: dict[str, PolicyResult], *, section: str) -> list[str]:
    sections = {one.title: one for one in comparison(results).sections}
    row = next(row for row in sections[section].rows if row.label == label)
    return [cell.text for cell in row.cells]


def test_policies_stand_side_by_side_class_by_class() -> None:
    assert comparison(RESULTS).policies == ("sarathi-fcfs", "niyama")
    assert figures("requests", RESULTS, section="chat") == ["2", "2"]
    assert figures("on time", RESULTS, section="chat") == ["50.0 %", "100.0 %"]
    assert figures("TTFT p50 / p95", RESULTS, section="chat") == ["3.5s / 5.75s", "600ms / 690ms"]
    assert figures("important", RESULTS, section="on time, all classes") == ["50.0 %", "100.0 %"]
    assert figures("relegated (after the first token)", RESULTS, section="requests") == ["0 (0)", "1 (0)"]
    assert figures("lost", RESULTS, section="requests") == ["1", "0"]


def test_a_class_without_requests_shows_dashes() -> None:
    assert figures("TTLT p50 / p95", RESULTS, section="idle") == ["–", "–"]


def test_a_class_that_one_policy_lacks_shows_dashes_for_it() -> None:
    results = {"a": RESULTS["niyama"], "b": summarise([])}
    assert figures("requests", results, section="chat") == ["2", "–"]


def test_the_comparison_is_readable_at_100_columns() -> None:
    slos = slos_of(outcome for run in RUNS.values() for outcome in run)
    text = lines(comparison_table(RESULTS, slos=slos))
    assert max(map(len, text)) <= 100
    assert any("chat: first token in 1s, then one every 100ms" in line for line in text)
    assert not any("…" in line for line in text)


def test_the_table_of_one_run_is_readable_at_100_columns_and_says_what_became_of_all() -> None:
    text = lines(run_table(RESULTS["sarathi-fcfs"], title="sarathi-fcfs"))
    assert max(map(len, text)) <= 100
    assert not any("…" in line for line in text)
    assert "2 of 3 completed, 0 rejected, 0 failed, 1 lost" in " ".join(text)


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "–"), (0.0, "0.0 %"), (0.0004, "0.04 %"), (0.5, "50.0 %"), (0.9996, "99.96 %"), (1.0, "100.0 %")],
)
def test_a_share_tells_nearly_all_from_all(share: float | None, text: str) -> None:
    assert format_share(share) == text


@pytest.mark.parametrize(
    ("share", "grade"),
    [(None, None), (1.0, Grade.GOOD), (0.99, Grade.GOOD), (0.98, Grade.FAIR), (0.9, Grade.FAIR), (0.89, Grade.POOR)],
)
def test_a_share_is_good_from_99_percent_and_poor_below_90(share: float | None, grade: Grade | None) -> None:
    assert Grade.of(share) is grade


def test_promises_are_put_in_words() -> None:
    assert promise_in_words(Interactive(6.0, 0.05)) == "first token in 6s, then one every 50ms"
    assert promise_in_words(Batch(600.0)) == "whole answer in 10m"
