"""The published tables: computed once, gone on with where they were ended, and never invented."""

from pathlib import Path

import pytest
from niyama_sim.goodput import Goodput

from bench import results as bench


def computed(folder: Path, capsys: pytest.CaptureFixture[str], policy: str) -> list[str]:
    """Compute one policy on one workload by short runs; return what was told of it."""
    only = ["--workload", "azure-code-2024", "--policy", policy, "--seeds", "1"]
    bench.main(["--quick", "--output", str(folder), *only])
    return capsys.readouterr().out.splitlines()


def row(folder: Path, policy: str) -> str:
    lines = (folder / "goodput.md").read_text().splitlines()
    return next(line for line in lines if "Azure Code" in line and f"`{policy}`" in line)


def test_what_is_there_is_not_computed_again_and_what_is_not_is_said_to_be_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "QUICK_SHARE", 60)
    assert len(computed(tmp_path, capsys, "sarathi-fcfs")) > 2
    told = row(tmp_path, "sarathi-fcfs")
    assert "missing" not in told
    assert "| 1.5 |" in told
    assert row(tmp_path, "qoserve").count("*missing*") == 2
    again = computed(tmp_path, capsys, "sarathi-fcfs")
    assert again == [f"azure-code-2024 sarathi-fcfs {rule}: is there" for rule in bench.RULES]
    assert row(tmp_path, "sarathi-fcfs") == told


def test_a_figure_of_other_settings_is_marked_until_it_is_computed_again(tmp_path: Path) -> None:
    document = bench.Document(tmp_path, {**FACTS, "sources": "older"})
    document.add_cell(CELL, [1], FOUND)
    bench.Document(tmp_path, FACTS).write()
    assert "1.60, 1 seed †" in row(tmp_path, "sarathi-fcfs")
    newer = bench.Document(tmp_path, FACTS)
    assert not newer.has(CELL, [1])
    newer.add_cell(CELL, [1], FOUND)
    assert newer.has(CELL, [1])
    assert "†" not in row(tmp_path, "sarathi-fcfs")
    assert "+6.7 %" in row(tmp_path, "sarathi-fcfs")


FACTS = {"profile": bench.PROFILE, "noise": 0.05, "resolution": 0.01, "num_requests": {}, "sources": "these"}
CELL = bench.Cell("azure-code-2024", "sarathi-fcfs", "published")
FOUND = Goodput({1: 1.6}, {1: ("Q1 violates 2.00%",)})
