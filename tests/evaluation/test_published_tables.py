"""The published tables: computed once, gone on with where they were ended, and never invented."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest
from niyama_core.placement import PLACEMENTS
from niyama_core.policies import POLICIES, SchedulerSettings
from niyama_eval.workloads import WorkloadRequest, generate_seeded

from bench.results.__main__ import TABLES, main
from bench.results.decisions import decisions, of_policy
from bench.results.page import interval
from bench.results.runs import Column, Run, RunTable, in_bursts, simulate_run
from bench.results.searches import Line, SearchTable
from bench.results.setting import FULL, QUICK, cluster, traffic
from bench.results.store import Store
from bench.results.table import Table
from bench.results.tables.goodput import goodput
from bench.results.tables.silos import Headlines, headlines

ROOT = Path(__file__).parents[2]
CODE = "azure-code-2024"
VERSIONS = {"python": "3"}

SEARCHES = SearchTable(
    name="tiny",
    lead="# Tiny",
    head=("workload",),
    lines=[
        Line(
            labels=("Azure Code",),
            cluster=cluster(CODE).with_policy("sarathi-fcfs"),
            traffic=traffic(CODE, num_requests=300),
            guess=2.0,
            published=1.5,
            limit=3.96,
        )
    ],
    seeds=(1, 2),
    resolution=0.1,
)
RUNS = RunTable(
    name="tiny-runs",
    lead="# Runs",
    head=("policy",),
    columns=(
        Column("violations", "violations, all"),
        Column("low importance", "violations, low importance"),
        Column("TTFT p99", "p99_s, class Q1", "seconds"),
    ),
    runs=[
        Run(
            labels=("`niyama`",),
            cluster=cluster(CODE),
            traffic=traffic(CODE, qps=2.0, num_requests=200),
            published={"violations": "16 %"},
        )
    ],
    seeds=(1, 2),
)


def opened(folder: Path, table: Table) -> Store:
    return Store(folder / f"{table.name}.json", VERSIONS)


def last_row(page: str) -> list[str]:
    return [cell.strip() for cell in page.strip().splitlines()[-1].strip("|").split("|")]


@pytest.mark.parametrize("table", [SEARCHES, RUNS], ids=["searches", "runs"])
def test_what_has_not_been_computed_is_said_to_be_missing(tmp_path: Path, table: Table) -> None:
    page = table.page(opened(tmp_path, table))
    assert "*missing*" in page
    assert "16 %" in page or "| 1.5 |" in page


@pytest.mark.parametrize("table", [SEARCHES, RUNS], ids=["searches", "runs"])
def test_what_is_there_is_not_computed_again(tmp_path: Path, table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    table.compute(opened(tmp_path, table), jobs=1)
    told = table.page(opened(tmp_path, table))
    assert "missing" not in told
    assert "†" not in told
    assert capsys.readouterr().out
    table.compute(opened(tmp_path, table), jobs=1)
    assert not capsys.readouterr().out
    assert table.page(opened(tmp_path, table)) == told


@pytest.mark.parametrize("table", [SEARCHES, RUNS], ids=["searches", "runs"])
def test_what_policies_that_decided_otherwise_gave_is_marked_until_it_is_computed_again(
    tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("runs", "searches"):
        monkeypatch.setattr(f"bench.results.{module}.decisions", lambda settings: "otherwise")
    table.compute(opened(tmp_path, table), jobs=1)
    assert "†" not in table.page(opened(tmp_path, table))
    monkeypatch.undo()
    old = table.page(opened(tmp_path, table))
    assert "†" in old
    table.compute(opened(tmp_path, table), jobs=1)
    assert table.page(opened(tmp_path, table)) == old.replace(" †", "")


def test_what_a_figure_was_made_with_stands_beside_it(tmp_path: Path) -> None:
    store = opened(tmp_path, RUNS)
    store.put("a", "settings", {})
    Store(store.path, {"python": "4"}).put("b", "settings", {})
    document = json.loads(store.path.read_text())
    made = {key: document["made_with"][entry["made_with"]] for key, entry in document["entries"].items()}
    assert made == {"a": {"python": "3"}, "b": {"python": "4"}}


def test_a_search_is_gone_on_with_from_the_points_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SEARCHES.compute(opened(tmp_path, SEARCHES), jobs=1)
    path = tmp_path / "tiny.json"
    document = json.loads(path.read_text())
    whole = last_row(SEARCHES.page(opened(tmp_path, SEARCHES)))
    document["entries"] = {key: entry for key, entry in document["entries"].items() if key.endswith("points")}
    points = document["entries"]["Azure Code: points"]["value"]["points"]
    lost = points.pop()
    path.write_text(json.dumps(document))
    capsys.readouterr()
    SEARCHES.compute(opened(tmp_path, SEARCHES), jobs=1)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 1
    assert f"seed {lost['seed']} at {lost['qps']}" in told[0]
    assert last_row(SEARCHES.page(opened(tmp_path, SEARCHES))) == whole


def test_other_settings_make_a_figure_old(tmp_path: Path) -> None:
    RUNS.compute(opened(tmp_path, RUNS), jobs=1)
    (line,) = RUNS.runs
    noisier = replace(RUNS, runs=[replace(line, cluster=replace(line.cluster, noise=0.1))])
    assert "†" in noisier.page(opened(tmp_path, noisier))


def test_a_finer_search_is_made_though_a_coarser_one_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SEARCHES.compute(opened(tmp_path, SEARCHES), jobs=1)
    capsys.readouterr()
    finer = replace(SEARCHES, resolution=0.05)
    finer.compute(opened(tmp_path, finer), jobs=1)
    assert capsys.readouterr().out


def test_published_figures_stand_beside_ours(tmp_path: Path) -> None:
    SEARCHES.compute(opened(tmp_path, SEARCHES), jobs=1)
    _, published, ours, deviation, *_ = last_row(SEARCHES.page(opened(tmp_path, SEARCHES)))
    assert published == "1.5"
    assert "[" in ours
    assert "2 seeds" in ours
    assert float(deviation.removesuffix(" %")) == pytest.approx(100 * (float(ours.split()[0]) / 1.5 - 1), abs=0.5)
    RUNS.compute(opened(tmp_path, RUNS), jobs=1)
    violations, nobody, ttft = last_row(RUNS.page(opened(tmp_path, RUNS)))[1:]
    assert violations.endswith("; published 16 %")
    assert nobody == "–"
    assert ttft.endswith(" s]")


def test_an_interval_ends_at_zero_where_no_figure_is_below_it_and_nowhere_else() -> None:
    assert interval([0.0, 0.01], unit="share").startswith("0.50 % [0 %, ")
    assert interval([-0.01, 0.01], unit="share").startswith("0 % [-12.7 %, ")


def test_more_seeds_are_computed_and_fewer_are_not_taken_for_enough(tmp_path: Path) -> None:
    few = replace(SEARCHES, seeds=(1,))
    few.compute(opened(tmp_path, few), jobs=1)
    SEARCHES.compute(opened(tmp_path, SEARCHES), jobs=1)
    assert "2 seeds" in SEARCHES.page(opened(tmp_path, SEARCHES))


def test_gpus_of_silos_are_those_of_all_classes_together(tmp_path: Path) -> None:
    table = headlines(QUICK)
    store, shared = opened(tmp_path, table), opened(tmp_path, table.shared)

    def put(there: Store, lines: SearchTable, qps: Callable[[Line], float]) -> None:
        for line in lines.lines:
            found: Mapping[str, Any] = {
                "seeds": [1],
                "resolution": 0.1,
                "by_seed": {"1": qps(line)},
                "limits": {"1": []},
                "problem": None,
            }
            there.put(f"{line.key}: published", line.settings, found)

    put(store, table.silos, lambda line: {"Q1": 2.0, "Q2": 4.0, "Q3": 5.0}[line.labels[1]])
    put(shared, table.shared, lambda line: 4.0)
    assert isinstance(table, Headlines)
    # 50 requests a second, a third in each class: 8.33, 4.17 and 3.33 replicas, and 12.5 that all share.
    row = next(line for line in table.page(store).splitlines() if line.startswith("| Azure Code | published |"))
    assert row == "| Azure Code | published | 18 (9 + 5 + 4) | 13 | 28 % | 13 | 28 % |"


def test_only_long_prompts_come_at_the_rate_that_was_asked_for() -> None:
    (line,) = RUNS.runs
    long = replace(line, traffic=replace(line.traffic, qps=0.5, num_requests=100), only_long=True)
    figures = simulate_run(long, 1)
    assert "violations, short prompts" not in figures
    assert figures["completed a second"] == pytest.approx(0.5, rel=0.3)


def test_bursts_have_the_same_arrivals_and_lengths_in_another_order() -> None:
    (line,) = RUNS.runs
    alone = generate_seeded(line.traffic, line.cluster.classes, seed=1)
    bursts = in_bursts(alone, 0.9, seed=1)
    assert [one.arrival for one in bursts] == [one.arrival for one in alone]
    assert sorted(map(sizes, bursts)) == sorted(map(sizes, alone))
    before, after = (np.array([one.num_prompt_tokens for one in some]) for some in (alone, bursts))
    follows = [
        float(np.corrcoef(np.argsort(np.argsort(x))[1:], np.argsort(np.argsort(x))[:-1])[0, 1]) for x in (before, after)
    ]
    assert abs(follows[0]) < 0.2
    assert follows[1] > 0.6


def sizes(request: WorkloadRequest) -> tuple[int, int]:
    return request.num_prompt_tokens, request.num_output_tokens


def test_answers_that_are_misjudged_change_what_is_planned_and_nothing_else() -> None:
    (line,) = RUNS.runs
    policy = replace(line.cluster, scheduler=SchedulerSettings("qoserve"))
    honest = replace(line, cluster=policy, traffic=replace(line.traffic, qps=6.0, num_requests=600))
    misled = simulate_run(replace(honest, length_error=4.0), 1)
    assert misled != simulate_run(honest, 1)
    assert simulate_run(honest, 1) == simulate_run(honest, 1)


def test_reference_runs_tell_policies_and_placements_apart_and_come_out_alike_every_time() -> None:
    policies = [decisions(cluster(CODE).with_policy(policy)) for policy in POLICIES]
    assert len(set(policies)) == len(POLICIES)
    several = [decisions(cluster(CODE, replicas=2, placement=placement)) for placement in PLACEMENTS]
    assert len(set(several)) == len(PLACEMENTS)
    again = run([sys.executable, "-c", _DECIDED], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert again.strip() == decisions(cluster(CODE).with_policy("sarathi-edf"))


_DECIDED = """
from bench.results.decisions import decisions
from bench.results.setting import cluster
print(decisions(cluster("azure-code-2024").with_policy("sarathi-edf")))
"""


def test_a_policy_that_decides_otherwise_is_told_from_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    before = decisions(cluster(CODE).with_policy("qoserve"))
    monkeypatch.setattr("niyama_core.policies.ARTIFACT_GRID", (128, 256, 512))
    of_policy.cache_clear()
    try:
        assert decisions(cluster(CODE).with_policy("qoserve")) != before
    finally:
        of_policy.cache_clear()


@pytest.mark.parametrize("extent", [FULL, QUICK])
@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_page_before_anything_is_computed(
    tmp_path: Path, name: str, extent: object, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["--quick"] if extent is QUICK else []
    main(["--table", name, "--pages", "--output", str(tmp_path), *quick])
    page = (tmp_path / f"{name}.md").read_text()
    assert page.startswith("# ")
    assert "missing" in page
    assert all(len(line) <= 120 for line in page.splitlines() if not line.startswith("|"))


def test_one_page_leads_to_the_others_and_tells_what_is_missing(tmp_path: Path) -> None:
    main(["--pages", "--quick", "--output", str(tmp_path)])
    page = (tmp_path / "README.md").read_text()
    assert all(f"]({name}.md)" in page for name in TABLES)
    assert "| 16 % | *missing* | *missing* |" in page


def test_the_published_table_has_every_published_figure() -> None:
    published = [line.published for line in goodput(FULL).lines if line.published]
    assert published == [1.5, 2.6, 3.8, 2.8, 3.5, 4.3, 1.4, 1.8, 2.1]
