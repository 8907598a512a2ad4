"""`niyama sim compare` and `niyama sim sweep`: contenders, differences, curves, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from niyama_cli.__main__ import run

A_SHORT_COMPARISON = ["sim", "compare", "--workload", "azure-code-2024", "--qps", "8", "--num-requests", "80"]
A_SHORT_COMPARISON += ["--seeds", "2", "--policy", "niyama"]


def compared(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert run([*A_SHORT_COMPARISON, *options, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(list(arguments)) != 0
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    return line


def test_differences_are_told_with_their_intervals_and_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    document = compared(capsys, "--policy", "sarathi-fcfs")
    assert document["compared_with"] == "niyama"
    median = next(
        one
        for one in document["differences"]["sarathi-fcfs"]
        if (one["measure"], one["group"]) == ("p50_s", "class chat")
    )
    assert median["other"] > median["first"]
    change = median["difference"]
    assert change["low"] <= change["mean"] <= change["high"]
    assert median["verdict"] in ("worse", "within noise")
    by_seed = document["figures"]["niyama"]["by_seed"]
    mean = sum(figures["p50_s"]["class chat"] for figures in by_seed) / 2
    assert median["first"] == pytest.approx(mean)


def test_a_contender_may_have_a_cluster_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    others = ["niyama placement=round-robin replicas=2", "sarathi-fcfs silo=2,1,1", "qoserve profile=h100x4-llama3-70b"]
    document = compared(capsys, *(word for other in others for word in ("-p", other)))
    contenders = document["contenders"]
    assert list(contenders) == ["niyama", *others]
    assert (contenders[others[0]]["placement"], contenders[others[0]]["replicas"]) == ("round-robin", 2)
    assert contenders[others[1]]["pools"] == [2, 1, 1]
    assert contenders[others[2]]["profile"] == "h100x4-llama3-70b"


def test_settings_of_the_scheduler_are_those_of_manifests(capsys: pytest.CaptureFixture[str]) -> None:
    document = compared(capsys, "--policy", "niyama safety=3", "--policy", "niyama safety=1.2")
    other, same = document["differences"].values()
    assert {one["verdict"] for one in same} == {"alike"}
    assert {one["verdict"] for one in other} != {"alike"}


def test_the_table_says_what_is_chance(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*A_SHORT_COMPARISON, "--policy", "niyama safety=1.2"]) == 0
    table = " ".join(capsys.readouterr().out.split())
    for words in ("niyama safety=1.2, compared with niyama", "alike", "95 % interval", "2 seeds.", "class chat"):
        assert words in table


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "two contenders or more"),
        (["-p", "magic"], "'magic' is unknown: begin with one of niyama"),
        (["-p", ""], "is unknown: begin with one of niyama"),
        (["-p", "niyama luck=1"], "'luck' is no setting: choose one of profile, replicas"),
        (["-p", "niyama alpha"], "'alpha' is no setting: write name=value"),
        (["-p", "niyama alpha=-1"], "alpha: must be a number from 0 to 10"),
        (["-p", "niyama silo=1,1"], "2 numbers of replicas for 3 classes"),
        (["-p", "niyama silo=1,1,1 alpha=0"], "silos have budgets of their own"),
        (["-p", "niyama replicas=0"], "give 1 to 1024"),
        (["-p", "niyama profile=abacus"], "'abacus' is unknown"),
        (["-p", "qoserve", "--qps", "0"], "qps: 0.0 is not above 0"),
        (["-p", "qoserve", "--warm-up", "9h"], "leave no request of the run"),
        (["-p", "qoserve", "--seeds", "0"], "--seeds"),
    ],
)
def test_a_comparison_that_cannot_be_is_refused_in_words(
    capsys: pytest.CaptureFixture[str], options: list[str], problem: str
) -> None:
    assert problem in complaint(capsys, *A_SHORT_COMPARISON, *options)


def test_differences_are_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    compared(capsys, "--policy", "sarathi-fcfs", "--plot", str(tmp_path / "new" / "differences.png"))
    assert (tmp_path / "new" / "differences.png").read_bytes().startswith(b"\x89PNG")


A_SHORT_SWEEP = ["sim", "sweep", "--workload", "azure-code-2024", "--num-requests", "80"]
A_SHORT_SWEEP += ["--policy", "niyama", "--policy", "sarathi-fcfs"]


def test_a_sweep_has_a_point_for_every_rate_with_long_and_short_prompts_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([*A_SHORT_SWEEP, "--qps", "3:9:3", "--seeds", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["curves"]) == ["niyama", "sarathi-fcfs"]
    for points in document["curves"].values():
        assert [point["qps"] for point in points] == [3.0, 6.0, 9.0]
        assert all(len(point["by_seed"]) == 2 for point in points)
        assert all({"long prompts", "short prompts"} <= set(point["mean"]["violations"]) for point in points)
    medians = [point["mean"]["p50_s"]["class chat"] for point in document["curves"]["sarathi-fcfs"]]
    assert medians == sorted(medians)


def test_a_sweep_is_a_table_and_pictures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run([*A_SHORT_SWEEP, "--qps", "4,8", "--plots", str(tmp_path / "sweep")]) == 0
    table = capsys.readouterr().out
    for word in ("QPS", "sarathi-fcfs", "late tokens", "long", "short", "chat", "median / p99"):
        assert word in table
    names = {path.name for path in (tmp_path / "sweep").iterdir()}
    assert names == {"violations.png", "latency.png", "late-tokens.png"}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--qps", "0"], "qps: 0 is not above 0"),
        (["--qps", "few"], "'few' names no rates"),
        (["--qps", "6:2:1"], "'6:2:1' names no rates"),
        (["--qps", "1:2"], "'1:2' names no rates"),
        (["--qps", "1:1000:0.1"], "more than 200 rates"),
        (["--qps", "2", "--policy", "magic"], "'magic' is unknown"),
        (["--qps", "2", "--plots", "/dev/null/plots"], "/dev/null"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_in_words(
    capsys: pytest.CaptureFixture[str], options: list[str], problem: str
) -> None:
    assert problem in complaint(capsys, *A_SHORT_SWEEP, *options)
