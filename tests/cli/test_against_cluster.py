"""generate, status and bench against a real cluster, as a person types them."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from niyama_cli.__main__ import run

from tests.cli.processes import wait_until

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def address(cluster: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every command asks the running cluster."""
    monkeypatch.setenv("NIYAMA_ADDRESS", cluster)
    return cluster


def spawn(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "niyama_cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_an_answer_is_followed_by_a_line_on_what_came_of_it(capsys: Capture) -> None:
    assert run(["generate", "Why is the sky blue?", "--class", "chat", "--max-tokens", "12"]) == 0
    output = capsys.readouterr()
    answer, blank, line = output.out.removesuffix("\n").split("\n")
    assert len(answer.split()) == 12
    assert blank == ""
    assert line.startswith("class chat · replica replica-")
    for word in ("engine: paced, no model ran", "TTFT ", "largest gap ", "TTLT ", "not relegated", "promise kept"):
        assert word in line
    assert output.err == ""


@pytest.mark.parametrize(
    ("options", "promise"),
    [
        (["--ttft", "2s", "--tbt", "60ms"], {"qos_class": "chat", "ttft_s": 2.0, "tbt_s": 0.06, "importance": "high"}),
        (["--ttft", "3s"], {"qos_class": "chat", "ttft_s": 3.0, "tbt_s": 0.05, "importance": "high"}),
        (["--ttlt", "1m", "--importance", "low"], {"qos_class": "summarise", "ttlt_s": 60.0, "importance": "low"}),
        (["-c", "nightly"], {"qos_class": "nightly", "ttlt_s": 120.0, "importance": "low"}),
    ],
)
def test_a_promise_is_asked_for_by_class_or_by_times(
    options: list[str], promise: dict[str, object], capsys: Capture
) -> None:
    assert run(["generate", "Hi", "--json", "--max-tokens", "3", "--app", "test", *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["promise"] == promise
    assert (document["num_output_tokens"], document["engine"], document["on_time"]) == (3, "paced", True)


@pytest.mark.parametrize("mode", ["direct", "auto"])
def test_tokens_may_come_from_the_replica_itself(mode: str, capsys: Capture) -> None:
    assert run(["generate", "Hi", "--mode", mode, "--max-tokens", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_output_tokens"] == 3


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_a_prompt_may_be_piped_in(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Summarise this, please."))
    assert run(["generate", *arguments, "--max-tokens", "2", "--quiet"]) == 0
    assert len(capsys.readouterr().out.split()) == 2


def test_an_empty_prompt_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(" \n"))
    assert run(["generate"]) == 2
    assert capsys.readouterr() == ("", "niyama: the prompt is empty: give one, or pipe it in\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--class", "gold"], "choose one of chat, summarise, nightly"),
        (["--ttft", "1s", "--ttlt", "1m"], "cannot stand beside"),
        (["--tbt", "50ms"], "needs a ttft"),
        (["--class", "chat", "--ttlt", "1m"], "does not apply"),
        (["--ttft", "1us"], "out of bounds"),
        (["--max-tokens", "0"], "at least 1"),
        (["--max-tokens", "1000000"], "max_tokens"),
    ],
)
def test_what_the_cluster_refuses_is_told_in_one_line(options: list[str], said: str, capsys: Capture) -> None:
    assert run(["generate", "Hi", *options]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert said in output.err


@pytest.mark.parametrize(
    "command",
    [["generate", "Hi"], ["status"], ["bench", "--workload", "sharegpt", "--qps", "1", "--num-requests", "1"]],
)
def test_a_router_that_is_away_is_told_in_one_line(command: list[str], capsys: Capture) -> None:
    assert run([*command, "--address", "127.0.0.1:1"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == (
        "niyama: no router answers at 127.0.0.1:1: start one with `niyama up`, or give --address (connection refused)\n"
    )


def test_the_running_cluster_is_found_without_an_address(
    cluster_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.delenv("NIYAMA_ADDRESS")
    monkeypatch.setenv("XDG_STATE_HOME", str(cluster_folder / "state"))
    assert run(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cluster"] == "default/tested"


def test_a_status_shows_classes_and_replicas(capsys: Capture) -> None:
    assert run(["status"]) == 0
    said = capsys.readouterr().out
    for word in ("default/tested", "engine paced", "load board ", "chat", "nightly", "replica-1", "serving"):
        assert word in said


def test_a_status_as_json_has_every_figure(capsys: Capture) -> None:
    assert run(["status", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    # A Redis that is slow for a moment, on a busy machine, counts as away.
    assert document["load_board"] in ("connected", "disconnected")
    assert [row["qos_class"] for row in document["classes"]] == ["chat", "summarise", "nightly"]
    assert [row["replica"] for row in document["replicas"]] == ["replica-0", "replica-1"]
    assert {"kv_used_tokens", "load_age_seconds", "placeable", "num_open"} <= set(document["replicas"][0])


def test_a_watched_status_goes_on_until_ctrl_c() -> None:
    process = spawn("status", "--watch", "--interval", "100ms", "--json")
    assert process.stdout is not None
    looks = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=10)
    assert [look["cluster"] for look in looks] == ["default/tested"] * 3
    assert (process.returncode, error) == (130, "")


def test_ctrl_c_in_an_answer_ends_it_cleanly(capsys: Capture) -> None:
    process = spawn("generate", "A long story, please.", "--max-tokens", "2000")
    assert process.stdout is not None
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=10)
    assert (process.returncode, error) == (130, "")

    def nothing_is_open() -> bool:
        run(["status", "--json"])
        replicas = json.loads(capsys.readouterr().out)["replicas"]
        return not any(replica["num_open"] for replica in replicas)

    wait_until(nothing_is_open, seconds=5)


def test_a_load_is_sent_and_its_figures_are_told(tmp_path: Path, capsys: Capture) -> None:
    out, plots = tmp_path / "out" / "bench", tmp_path / "plots"
    options = ["--workload", "azure-code-2023", "--qps", "20", "--num-requests", "12", "--low-importance", "0.5"]
    assert run(["bench", *options, "--out", str(out), "--plots", str(plots)]) == 0
    said = capsys.readouterr().out
    assert "policy niyama, engine paced: no model runs" in said
    assert "12 of 12 completed" in said
    document = json.loads((out / "results.json").read_text())
    result = document["policies"]["niyama"]
    assert (result["num_requests"], result["num_lost"]) == (12, 0)
    assert sum(row["num_requests"] for row in result["by_class"].values()) == 12
    assert (document["engine"], document["seed"], document["replicas"]) == ("paced", 1, 2)
    assert {"report.html", "attainment.png", "results.json"} <= {path.name for path in plots.iterdir()}


def test_a_load_is_the_same_for_the_same_seed_and_its_classes_can_be_chosen(capsys: Capture) -> None:
    options = [
        "--workload",
        "sharegpt",
        "--qps",
        "40",
        "--num-requests",
        "10",
        "--class",
        "chat:3",
        "--class",
        "nightly",
    ]
    results = []
    for _ in range(2):
        assert run(["bench", *options, "--seed", "7", "--json"]) == 0
        results.append(json.loads(capsys.readouterr().out)["policies"]["niyama"])
    counts = [{name: row["num_requests"] for name, row in result["by_class"].items()} for result in results]
    assert counts[0] == counts[1]
    assert list(counts[0]) == ["chat", "nightly"]
    assert results[0]["low_importance_on_time"] is not None


def test_a_trace_is_sent_at_its_own_times(tmp_path: Path, capsys: Capture) -> None:
    trace = tmp_path / "trace.csv"
    rows = [f"2023-11-16 18:15:0{second}.5000000,{100 + second},{5 + second}" for second in range(3)]
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows, ""]))
    assert run(["bench", "--trace", str(trace), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["traffic"] == ["trace.csv"]
    assert document["policies"]["niyama"]["num_completed"] == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--trace FILE, or --workload"),
        (["--workload", "nope", "--qps", "1", "--num-requests", "1"], "'nope' is neither a workload nor a file"),
        (["--workload", "sharegpt", "--num-requests", "1"], "qps"),
        (["--workload", "sharegpt", "--qps", "0", "--num-requests", "1"], "above 0"),
        (["--workload", "sharegpt", "--qps", "1"], "num_requests or duration"),
        (["--workload", "sharegpt", "--qps", "1", "--num-requests", "1", "--mix", "1:1"], "2 weights for 3 classes"),
        (["--workload", "sharegpt", "--qps", "1", "--num-requests", "1", "--replay"], "not started for replay"),
        (["--workload", "sharegpt", "--qps", "1", "--num-requests", "1", "-f", "/nope"], "cannot read /nope"),
        (["--workload", "sharegpt", "--qps", "0.001", "--duration", "1ms"], "no request arrives"),
    ],
)
def test_a_load_that_cannot_be_is_refused_in_one_line(options: list[str], said: str, capsys: Capture) -> None:
    assert run(["bench", *options]) in (1, 2)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert said in output.err


def test_ctrl_c_in_a_load_tells_what_was_measured_so_far(capsys: Capture) -> None:
    process = spawn("bench", "--workload", "sharegpt", "--qps", "5", "--duration", "60s", "--class", "chat")

    def num_completed() -> int:
        run(["status", "--json"])
        return int(json.loads(capsys.readouterr().out)["classes"][0]["num_completed"])

    before = num_completed()
    wait_until(lambda: num_completed() > before + 2)
    os.kill(process.pid, signal.SIGINT)
    output, error = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "chat" in output
    assert "Traceback" not in error
    assert re.search(r"niyama: interrupted: \d+ of \d+ requests had ended; \d+ under way are not counted\n$", error)


def test_ctrl_c_before_anything_was_measured_is_said_too(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    async def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("niyama_cli.bench.run_bench", interrupted)
    assert run(["bench", "--workload", "sharegpt", "--qps", "1", "--num-requests", "1"]) == 130
    assert capsys.readouterr() == ("", "niyama: interrupted: nothing measured\n")


def test_a_quote_is_a_row_for_each_class(capsys: Capture) -> None:
    assert run(["quote", "200", "--output-tokens", "20"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows if row][-3:] == ["chat", "summarise", "nightly"]
    assert run(["quote", "200", "--confidence", "90%", "--json"]) == 0
    chat, *_ = json.loads(capsys.readouterr().out)
    assert (chat["qos_class"], chat["feasible"]) == ("chat", True)
    assert chat["confidence"] <= 0.9


def test_a_quote_that_the_router_refuses_says_why(capsys: Capture) -> None:
    assert run(["quote", "10000000"]) == 1
    assert "num_prompt_tokens: must be less than" in capsys.readouterr().err
