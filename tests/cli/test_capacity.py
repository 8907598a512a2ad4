"""`niyama capacity`: what is needed, what it costs, and what is refused."""

import json
from pathlib import Path

import pytest
from niyama_cli.__main__ import run

A_SHORT_SEARCH = ["capacity", "--workload", "azure-code-2024", "--qps", "12", "--num-requests", "200", "--seeds", "1"]
MANIFEST = """
apiVersion: niyama.dev/v1alpha1
kind: NiyamaCluster
metadata: {name: test}
spec:
  model: {name: a-model}
  qosClasses:
  - {name: person, interactive: {ttft: %s, tbt: 100ms}}
  - {name: machine, batch: {ttlt: 5m}}
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    rows = [f"2023-11-16 18:{s // 60:02}:{s % 60:02},{500 + s},20" for s in range(100)]
    path = tmp_path / "office.csv"
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]) + "\n")
    return path


def test_ours_stands_next_to_silos_and_to_fcfs_with_the_curve_and_what_is_saved(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "curve.png"
    assert run([*A_SHORT_SEARCH, "--plot", str(picture)]) == 0
    said = capsys.readouterr().out
    for words in ("niyama, shared", "fcfs, shared", "fcfs, silos", "violations by class", "Next to fcfs, silos"):
        assert words in said
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_json_has_the_split_of_the_silos_the_cost_and_every_point(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*A_SHORT_SEARCH, "--gpu-hour-cost", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["qps"] == pytest.approx(12, rel=0.2)
    ours, silos = said["offers"]["niyama, shared"], said["offers"]["fcfs, silos"]
    assert said["num_replicas"] == ours["num_replicas"]
    assert ours["cost_a_month"] == ours["num_replicas"] * 730 * 2
    assert list(silos["split"]) == ["chat", "summarise", "nightly"]
    assert sum(silos["split"].values()) == silos["num_replicas"]
    assert {point["replicas"] for point in ours["points"]} == {at["replicas"] for at in ours["curve"]}


def test_a_replica_of_several_gpus_costs_so_many_times_as_much(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*A_SHORT_SEARCH, "--profile", "h100x4-llama3-70b", "--no-baselines", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["gpus_per_replica"] == 4
    assert list(said["offers"]) == ["niyama, shared"]


def test_a_trace_is_replayed_at_its_own_times_and_what_it_cannot_tell_is_said(
    capsys: pytest.CaptureFixture[str], trace: Path, tmp_path: Path
) -> None:
    classes = tmp_path / "classes.yaml"
    classes.write_text(MANIFEST % "3s")
    assert run(["capacity", "--trace", str(trace), "--classes", str(classes), "--no-baselines"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in ("1.01 requests/s over 99s", "Few requests of", "can hide a backlog that grows", "--rule strict"):
        assert words in said


def test_a_run_too_short_for_the_strict_rule_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    run([*A_SHORT_SEARCH, "--no-baselines", "--rule", "strict", "--most", "8"])
    said = " ".join(capsys.readouterr().out.split())
    assert "the backlog grows or shrinks by about 14% of the work by chance" in said


def test_of_one_class_silos_are_fcfs_and_are_not_simulated(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    classes = tmp_path / "classes.yaml"
    classes.write_text(MANIFEST % "3s")
    assert run([*A_SHORT_SEARCH, "--classes", str(classes), "--mix", "1:0"]) == 0
    said = capsys.readouterr().out
    assert "fcfs, silos" not in said
    assert "silos would be fcfs, shared" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--qps", "0"], "qps: 0.0 is not above 0"),
        (["--qps", "nan"], "qps: nan is not above 0"),
        (["--violations", "0"], "'0' is no share above 0 and below 1"),
        (["--violations", "half"], "'half' is no share"),
        (["--violations", "120%"], "'120%' is no share"),
        (["--gpu-hour-cost", "-1"], "--gpu-hour-cost"),
        (["--gpu-hour-cost", "inf"], "--gpu-hour-cost: inf is no amount"),
        (["--most", "0"], "--most"),
        (["--trace", "nowhere.csv"], "'nowhere.csv' is neither a workload nor a file"),
        (["--rule", "lenient"], "choose one of published, strict"),
        (["--mix", "1:1"], "2 weights for 3 classes"),
    ],
)
def test_what_cannot_be_is_one_clear_line(capsys: pytest.CaptureFixture[str], options: list[str], words: str) -> None:
    assert run([*A_SHORT_SEARCH, *options]) != 0
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line


def test_a_promise_that_no_number_of_replicas_keeps_is_refused_before_anything_is_simulated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    classes = tmp_path / "classes.yaml"
    classes.write_text(MANIFEST % "5ms")
    assert run([*A_SHORT_SEARCH, "--classes", str(classes)]) == 2
    assert "class person: ttft 5ms cannot be kept" in capsys.readouterr().err


def test_a_promise_that_the_fewest_allowed_do_not_keep_is_told_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*A_SHORT_SEARCH, "--most", "1", "--violations", "0.1%", "--qps", "40", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["num_replicas"] is None
    assert said["offers"]["niyama, shared"]["violations"] == {}
