"""`niyama sim`: what is simulated and how it is told, and logs that are planned again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from niyama_cli.__main__ import run
from niyama_core.journal import IterationRecord, JournalHeader
from niyama_core.journaled_planner import JournaledPlanner
from niyama_core.policies import SchedulerSettings
from niyama_core.profile_document import profile_document

from tests.builders import A100, a_batch_request, a_planner, a_request

A_SHORT_RUN = ["sim", "run", "--workload", "azure-code-2023", "--qps", "4", "--num-requests", "60"]

MANIFEST = """
apiVersion: niyama.dev/v1alpha1
kind: NiyamaCluster
metadata: {name: test}
spec:
  model: {name: a-model}
  qosClasses:
  - {name: person, interactive: {ttft: 2s, tbt: 100ms}}
  - {name: machine, batch: {ttlt: 5m}}
"""


def figures(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert run([*A_SHORT_RUN, *options, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what a command says when it fails: one line, and nothing else."""
    assert run(list(arguments)) != 0
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    return line


def test_one_policy_is_told_by_class_with_what_the_replicas_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(A_SHORT_RUN) == 0
    table = capsys.readouterr().out
    for word in ("chat", "summarise", "nightly", "60 of 60 completed", "iterations", "mean chunk", "busy"):
        assert word in table


def test_several_policies_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*A_SHORT_RUN, "--policy", "sarathi-fcfs", "--policy", "niyama"]) == 0
    header = next(line for line in capsys.readouterr().out.splitlines() if "niyama" in line)
    assert header.split() == ["sarathi-fcfs", "niyama"]


def test_json_has_the_figures_of_every_policy(capsys: pytest.CaptureFixture[str]) -> None:
    document = figures(
        capsys, "--policy", "qoserve", "--policy", "niyama", "--replicas", "2", "--low-importance", "0.2"
    )
    assert list(document["policies"]) == ["qoserve", "niyama"]
    for policy, result in document["policies"].items():
        assert (result["num_requests"], result["num_completed"], result["num_lost"]) == (60, 60, 0)
        engines = document["engines"][policy]
        assert engines["num_iterations"] > 60
        assert 0 < engines["busy_fraction"] <= 1
        assert engines["simulated_seconds"] > 60 / 4 / 2
    assert (document["replicas"], document["engine"], document["seed"]) == (2, "simulated", 1)


def test_long_prompts_are_told_apart_from_short_ones(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    trace = tmp_path / "sizes.csv"
    trace.write_text("num_prefill_tokens,num_decode_tokens\n6201,5\n6200,5\n100,5\n100,5\n")
    options = ["sim", "run", "--workload", str(trace), "--qps", "2", "--num-requests", "40"]
    assert run([*options, "--json"]) == 0
    sides = json.loads(capsys.readouterr().out)["by_prompt"]["niyama"]
    assert {name: side["num_requests"] for name, side in sides.items()} == {"long": 10, "short": 30}
    assert run(options) == 0
    assert "of 10 " in " ".join(capsys.readouterr().out.split())


def test_what_arrives_while_the_run_warms_up_or_cools_down_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    whole, middle = figures(capsys), figures(capsys, "--warm-up", "5s", "--cool-down", "3s")
    assert whole["engines"] == middle["engines"]
    assert 0 < middle["policies"]["niyama"]["num_requests"] < whole["policies"]["niyama"]["num_requests"]
    assert (middle["warm_up_s"], middle["cool_down_s"]) == (5.0, 3.0)
    assert run([*A_SHORT_RUN, "--warm-up", "5s"]) == 0
    assert "of 60 requests count" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert figures(capsys, "--seed", "7") == figures(capsys, "--seed", "7")
    assert figures(capsys, "--seed", "7") != figures(capsys, "--seed", "8")


def test_classes_come_from_a_manifest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    manifest = tmp_path / "cluster.yaml"
    manifest.write_text(MANIFEST)
    document = figures(capsys, "-f", str(manifest), "--mix", "3:1")
    by_class = document["policies"]["niyama"]["by_class"]
    assert list(by_class) == ["person", "machine"]
    assert by_class["person"]["num_requests"] > by_class["machine"]["num_requests"]


def test_a_trace_file_is_replayed_at_its_own_times(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    rows = [f"2023-11-16 18:00:{second:02}.0000000,{100 + second},5" for second in range(30)]
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]) + "\n")
    assert run(["sim", "run", "--workload", str(trace), "--arrivals", "trace", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["policies"]["niyama"]["num_completed"] == 30
    assert 29 < document["engines"]["niyama"]["simulated_seconds"] < 31


def test_silos_are_run_as_published_unless_another_policy_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    document = figures(capsys, "--silo", "2,1,1")
    assert list(document["policies"]) == ["sarathi-fcfs"]
    assert (document["replicas"], document["placement"]) == (4, "round-robin")
    pools = [(pool["classes"], pool["replicas"], pool["scheduler"]["token_budget"]) for pool in document["pools"]]
    assert pools == [(["chat"], 2, 256), (["summarise"], 1, 2048), (["nightly"], 1, 2048)]
    document = figures(capsys, "--silo", "2,1,1", "--policy", "niyama", "--placement", "least-loaded")
    assert (list(document["policies"]), document["placement"]) == (["niyama"], "least-loaded")


def test_a_rate_limit_refuses_what_comes_faster(capsys: pytest.CaptureFixture[str]) -> None:
    result = figures(capsys, "--rate-limit", "2:1")["policies"]["niyama"]
    assert 20 <= result["num_rejected"] == 60 - result["num_completed"]


def test_routers_and_the_age_of_their_loads_are_told_beside_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    document = figures(capsys, "--replicas", "3", "--routers", "4", "--load-age", "1s")
    assert (document["routers"], document["load_age_s"]) == (4, 1.0)
    assert document["policies"]["niyama"]["num_completed"] == 60


def test_what_goes_wrong_is_told_beside_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    document = figures(capsys, "--replicas", "3", "--fault", "lose:1@3s", "--fault", "restart:0@5s:2s")
    assert [fault["kind"] for fault in document["faults"]] == ["lose", "restart"]
    result = document["policies"]["niyama"]
    assert (result["num_completed"], result["num_lost"]) == (60, 0)
    assert document["engines"] != figures(capsys, "--replicas", "3")["engines"]
    assert run([*A_SHORT_RUN, "--fault", "slow:0@1s:5s:2"]) == 0
    assert "what went wrong: slow:0@1s:5s:2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--qps", "0"], "qps: 0.0 is not above 0"),
        (["--fault", "melt:0@1s"], "fault: 'melt:0@1s' names no fault"),
        (["--fault", "lose:1@1s"], "faults: there is no replica 1: give 0 to 0"),
        (["--placement", "silo"], "silo needs the replicas of each class"),
        (["--silo", "7,3"], "2 numbers of replicas for 3 classes: chat, summarise, nightly"),
        (["--silo", "many"], "'many' is no list of numbers"),
        (["--silo", "7,3,3", "--replicas", "5"], "13 replicas, not 5: leave --replicas out"),
        (["--rate-limit", "0"], "give a rate above 0"),
        (["--rate-limit", "few"], "'few' is no rate"),
        (["--routers", "0"], "0 place nothing: give 1 or more"),
        (["--routers", "some"], "routers: 'some' is not understood"),
        (["--load-age", "1"], "'1' is no duration"),
        (["--policy", "magic"], "'magic' is unknown: choose one of niyama"),
        (["--placement", "magic"], "'magic' is unknown: choose one of niyama"),
        (["--profile", "abacus"], "'abacus' is unknown: choose one of a100-llama3-8b"),
        (["--workload", "nowhere.csv"], "'nowhere.csv' is neither a workload nor a file"),
        (["--workload", ""], "'' is neither a workload nor a file"),
        (["--mix", "1:1"], "2 weights for 3 classes"),
        (["--arrivals", "sometimes"], "'sometimes' names no arrivals"),
        (["--classes", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (["--replicas", "0"], "--replicas"),
        (["--noise", "-1"], "--noise"),
        (["--duration", "10s"], "both it and num_requests are given"),
        (["--warm-up", "1h"], "leave no request of the run"),
        (["--cool-down", "later"], "'later' is no duration"),
    ],
)
def test_a_wrong_option_is_one_clear_line(capsys: pytest.CaptureFixture[str], options: list[str], problem: str) -> None:
    assert problem in complaint(capsys, *A_SHORT_RUN, *options)


def test_a_time_in_which_nothing_arrives_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["sim", "run", "--workload", "sharegpt", "--qps", "0.001", "--duration", "1s"]
    assert "no request arrives in that time" in complaint(capsys, *options)


HURRIED = MANIFEST.replace("ttft: 2s", "ttft: 5ms")


def test_a_promise_that_no_replica_can_keep_is_told_beside_the_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    manifest = tmp_path / "cluster.yaml"
    manifest.write_text(HURRIED)
    assert run([*A_SHORT_RUN, "-f", str(manifest), "--json"]) == 0
    assert "class person: ttft 5ms cannot be kept: every request" in capsys.readouterr().err


def test_requests_that_were_cut_to_the_context_are_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    trace = tmp_path / "long.csv"
    trace.write_text("num_prefill_tokens,num_decode_tokens\n100000,5\n100,5\n")
    assert run(["sim", "run", "--workload", str(trace), "--qps", "1", "--num-requests", "4", "--json"]) == 0
    assert "50 % of the requests do not fit into the 16,384 tokens" in capsys.readouterr().err


def test_the_goodput_of_a_promise_that_cannot_be_kept_is_not_searched_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    manifest = tmp_path / "cluster.yaml"
    manifest.write_text(HURRIED)
    assert "ttft 5ms cannot be kept" in complaint(capsys, *A_SHORT_SEARCH, "-f", str(manifest))


def test_without_anything_said_the_commands_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    run(["sim"])
    said = capsys.readouterr()
    assert "run" in said.out + said.err
    assert "replay" in said.out + said.err


def some_records() -> list[IterationRecord]:
    """Return what a replica logs of two requests."""
    records: list[IterationRecord] = []
    planner = JournaledPlanner(a_planner(), records.append)
    planner.admit(a_request("first", prompt=3000))
    planner.admit(a_batch_request("second", prompt=3000))
    for step in range(6):
        planner.record(planner.plan(step / 10, 400_000).executed(0.1), (step + 1) / 10)
    return records


def write_log(path: Path, records: list[IterationRecord], *, policy: str = "niyama") -> None:
    header = JournalHeader(SchedulerSettings(policy, calibrated=False), profile="a100-llama3-8b", replica="replica-7")
    lines = [header.to_json_dict(), *(record.to_json_dict() for record in records)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "decisions.jsonl"


def test_a_log_that_is_planned_again_alike_is_said_so(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    write_log(log, some_records())
    assert run(["sim", "replay", str(log)]) == 0
    assert capsys.readouterr().out == f"{log}: replica-7, niyama: 6 iterations planned again, all alike\n"


def test_what_is_planned_otherwise_is_named_and_the_command_fails(
    capsys: pytest.CaptureFixture[str], log: Path
) -> None:
    write_log(log, some_records(), policy="sarathi-fcfs")
    assert run(["sim", "replay", str(log)]) == 1
    said = capsys.readouterr().out
    assert "1 iteration planned again, the last of them otherwise" in said
    assert "iteration 0: token_budget was 8192, replayed 256" in said


def test_differences_are_told_as_json(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    write_log(log, some_records(), policy="sarathi-fcfs")
    assert run(["sim", "replay", str(log), "--json"]) == 1
    (report,) = json.loads(capsys.readouterr().out)
    assert (report["replica"], report["num_iterations"], report["stopped"]) == ("replica-7", 1, None)
    assert {"iteration": 0, "field": "token_budget", "recorded": "8192", "replayed": "256"} in report["differences"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "No such file"),
        ("no log\n", "line 1: is no JSON"),
        ("{}\n", "line 1: schema_version: must be 1, not None"),
        ("", "there is no iteration that could be planned again"),
    ],
)
def test_a_file_that_is_no_log_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], log: Path, text: str | None, problem: str
) -> None:
    if text is not None:
        log.write_text(text)
    assert problem in complaint(capsys, "sim", "replay", str(log))


def test_a_log_whose_beginning_is_gone_cannot_be_planned_again(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    write_log(log, some_records()[3:])
    assert run(["sim", "replay", str(log)]) == 1
    assert "cannot be planned again: it begins at iteration 3" in capsys.readouterr().out


A_SHORT_SEARCH = ["sim", "goodput", "--workload", "azure-code-2024", "--num-requests", "100", "--resolution", "0.5"]


def test_goodput_is_told_with_the_points_that_it_rests_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*A_SHORT_SEARCH, "--seeds", "2", "--policy", "sarathi-fcfs", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    low, high = said["ci"]
    assert low <= said["goodput_qps"] <= high
    assert said["goodput_qps"] == said["policies"]["sarathi-fcfs"]["goodput_qps"]
    assert said["rule"] == "published"
    for seed, qps in said["by_seed"].items():
        passed = [one["qps"] for one in said["points"] if one["seed"] == int(seed) and not one["failures"]]
        assert qps == max(passed)


def test_goodput_of_several_policies_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*A_SHORT_SEARCH, "--seeds", "1", "--policy", "sarathi-fcfs", "--policy", "niyama"]) == 0
    table = capsys.readouterr().out
    for word in ("sarathi-fcfs", "niyama", "the next rate fails", "violates"):
        assert word in table


def test_goodput_may_be_that_of_silos_or_of_several_routers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*A_SHORT_SEARCH, "--seeds", "1", "--silo", "2,1,1", "--json"]) == 0
    silos = json.loads(capsys.readouterr().out)
    assert (silos["replicas"], list(silos["policies"])) == (4, ["sarathi-fcfs"])
    assert silos["all_replicas_qps"] == pytest.approx(4 * silos["goodput_qps"])
    options = ["--policy", "sarathi-fcfs", "--replicas", "2", "--routers", "2", "--load-age", "1s"]
    options += ["--placement", "least-loaded"]
    assert run([*A_SHORT_SEARCH, "--seeds", "1", *options, "--json"]) == 0
    shared = json.loads(capsys.readouterr().out)
    assert (shared["routers"], shared["load_age_s"], shared["placement"]) == (2, 1.0, "least-loaded")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--silo", "2,1"], "2 numbers of replicas for 3 classes"),
        (["--rule", "lenient"], "'lenient' is unknown: choose one of published, strict"),
        (["--num-requests", "1"], "every rate passes: the run is too short"),
        (["--duration", "1m"], "both it and num_requests are given"),
    ],
)
def test_a_search_that_cannot_be_is_refused_in_words(
    capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert words in complaint(capsys, *A_SHORT_SEARCH, *options)


A_SHORT_TUNING = ["sim", "tune", "--workload", "azure-code-2024", "--qps", "5", "--num-requests", "60"]
A_SHORT_TUNING += ["--policy", "sarathi-fcfs", "--seeds", "2", "--fresh-seeds", "2"]


def test_tuning_tells_the_effect_of_every_value_and_the_section_of_what_is_better(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(A_SHORT_TUNING) == 0
    table = capsys.readouterr().out
    for word in ("tokenBudget", "1024", "as it is", "95 % interval", "loss"):
        assert word in table
    assert "Recommended: tokenBudget" in table or "within noise" in table or "beyond noise" in table


def test_tuning_as_json_has_effects_with_their_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*A_SHORT_TUNING, "--setting", "tokenBudget", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {effect["setting"] for effect in said["effects"]} == {"tokenBudget"}
    for effect in said["effects"]:
        assert effect["difference"]["low"] <= effect["difference"]["mean"] <= effect["difference"]["high"]
    assert set(said["seeds"]).isdisjoint(said["fresh_seeds"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--setting", "alpha"], "sarathi-fcfs does not use 'alpha': choose from tokenBudget"),
        (["--qps", "0"], "qps: 0.0 is not above 0"),
        (["--seeds", "1"], "--seeds"),
        (["--policy", "magic"], "'magic' is unknown"),
    ],
)
def test_a_tuning_that_cannot_be_is_refused_in_words(
    capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert words in complaint(capsys, *A_SHORT_TUNING, *options)


def test_a_profile_may_be_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(profile_document(replace(A100, name="mine"))))
    assert figures(capsys, "--profile", str(path))["profile"] == "mine"
    path.write_text("{}")
    assert "mine.json: apiVersion: is required" in complaint(capsys, *A_SHORT_RUN, "--profile", str(path))


def test_a_log_may_be_planned_again_with_another_profile(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    write_log(log, some_records())
    assert run(["sim", "replay", str(log), "--profile", "a100-llama3-8b-artifact"]) == 1
    assert "predicted_seconds" in capsys.readouterr().out
