"""`niyama profile`: from iterations to a file that simulations take."""

import json
from pathlib import Path

import pytest
from niyama_cli.__main__ import run

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Iterations of a simulated replica, under a policy with small chunks and one with large ones."""
    path = tmp_path_factory.mktemp("records") / "deep" / "iterations.csv"
    simulated = ["sim", "run", "--workload", "sharegpt", "--qps", "2", "--num-requests", "80", "--json"]
    assert run([*simulated, "--policy", "qoserve", "--policy", "sarathi-fcfs", "--records", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def fitted(records: Path) -> Path:
    path = records.parent / "my.json"
    assert run(["profile", "fit", str(records), "--simulated", "-o", str(path)]) == 0
    return path


def test_a_fitted_profile_is_taken_by_the_simulator(capsys: Captured, fitted: Path) -> None:
    simulated = ["sim", "run", "--workload", "sharegpt", "--qps", "2", "--num-requests", "40", "--json"]
    capsys.readouterr()
    assert run([*simulated, "--profile", str(fitted)]) == 0
    assert json.loads(capsys.readouterr().out)["profile"] == "my"


def test_errors_are_told_by_predictor_and_by_kind_of_iteration(capsys: Captured, records: Path, tmp_path: Path) -> None:
    capsys.readouterr()
    assert run(["profile", "fit", str(records), "--simulated", "-o", str(tmp_path / "p.json")]) == 0
    said = capsys.readouterr().out
    for words in ("forest", "compiled, calibrated", "decodes alone", "the law without noise", "niyama profile show"):
        assert words in said


def test_json_has_the_errors_and_the_file_has_what_was_said_of_it(
    capsys: Captured, records: Path, tmp_path: Path
) -> None:
    path = tmp_path / "l40s.json"
    capsys.readouterr()
    said_of_it = ["--gpu", "1x L40S", "--model", "m", "--kv-capacity-tokens", "90000", "--context-tokens", "8192"]
    assert run(["profile", "fit", str(records), "-o", str(path), *said_of_it, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["by_predictor"]["compiled"]["p95"] <= 0.08
    spec = json.loads(path.read_text())["spec"]
    assert (spec["gpu"], spec["model"], spec["kvCapacityTokens"], spec["contextTokens"]) == (
        "1x L40S",
        "m",
        90000,
        8192,
    )


def test_records_that_cannot_be_are_one_clear_line(capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("prefill_tokens,seconds\n1,1\n")
    assert run(["profile", "fit", str(path), "-o", str(tmp_path / "p.json")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"niyama: {path}, row 1, column num_decodes: the header lacks it")
    assert not (tmp_path / "p.json").exists()


def test_a_profile_is_shown_as_tables_and_as_a_picture(capsys: Captured, fitted: Path, tmp_path: Path) -> None:
    picture = tmp_path / "deep" / "curve.png"
    capsys.readouterr()
    assert run(["profile", "show", str(fitted), "--plot", str(picture)]) == 0
    said = capsys.readouterr().out
    for words in (
        "my: meta-llama",
        "Iterations with 32 decodes of 1,500 tokens",
        "2,552",
        "The largest chunk in a time",
    ):
        assert words in said
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_published_throughput_is_shown_in_json(capsys: Captured) -> None:
    assert run(["profile", "show", "a100-llama3-8b-artifact", "--decodes", "0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    rate = {point["chunk_tokens"]: point["prefill_tokens_per_second"] for point in said["iterations"]}
    assert 0 not in rate
    assert rate[2552] / rate[256] == pytest.approx(1.5, abs=0.2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        (["a100"], "'a100' is unknown: choose one of"),
        (["a100-llama3-8b", "--decodes", "-1"], "--decodes"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(capsys: Captured, arguments: list[str], told: str) -> None:
    assert run(["profile", "show", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("niyama: ")
    assert told in said
