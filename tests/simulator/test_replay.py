"""A decision log that an agent has written is planned again, and any difference is named."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from niyama_agent.decision_log import open_decision_log
from niyama_agent.settings import RotationSettings, parse_settings
from niyama_core.journal import IterationRecord
from niyama_core.policies import POLICIES, SchedulerSettings
from niyama_core.replay import ReplayError
from niyama_sim.replay import LogError, RunReport, replay_log

from tests.simulator.clusters import mixed
from tests.simulator.event_list import Abort, Admit, Body, Event, admit, records_of_paced_engine

EDIT = Callable[[dict[str, Any]], object]


def some_traffic() -> list[Event]:
    """Return an overload in which some give up."""
    rng = random.Random(0)
    admissions: list[Admit] = list(map(admit, mixed(40, qps=8.0)))
    aborts = [Abort(one.at + rng.expovariate(1.0), one.request.request_id) for one in admissions[::4]]
    return sorted([*admissions, *aborts], key=lambda event: event.at)


def write_log(
    path: Path,
    records: list[IterationRecord],
    *,
    policy: str = "niyama",
    speed: float = 1.0,
    max_bytes: int = 10**8,
    **scheduler: object,
) -> None:
    """Write a decision log as an agent does."""
    document = {
        "cluster": "default/test",
        "replica": "replica-7",
        "model": "a-model",
        "engine": {"type": "paced", "profile": "a100-llama3-8b", "speed": speed},
        "scheduler": {"policy": policy, **scheduler},
    }
    file = open_decision_log(RotationSettings(path, max_bytes, keep=50), parse_settings(document))
    for record in records:
        file.put(record)
    file.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.jsonl"


@pytest.fixture(scope="module")
def records() -> list[IterationRecord]:
    return records_of_paced_engine(Body(noise=0.05), some_traffic())


def replayed(path: Path) -> RunReport:
    (report,) = replay_log(path)
    return report


def edit_line(path: Path, number: int, edit: EDIT) -> None:
    """Change one line of a log, counted from 0."""
    lines = path.read_text().splitlines()
    value = json.loads(lines[number])
    edit(value)
    lines[number] = json.dumps(value)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("policy", POLICIES)
def test_what_an_agent_logged_is_planned_again_alike(path: Path, policy: str) -> None:
    body = Body(scheduler=SchedulerSettings(policy), speed=2.0, noise=0.05)
    records = records_of_paced_engine(body, some_traffic())
    write_log(path, records, policy=policy, speed=2.0)
    report = replayed(path)
    assert (report.differences, report.stopped) == ((), "")
    assert report.num_iterations == len(records) > 100
    assert report.header.replica == "replica-7"


def test_rotated_files_are_one_log(path: Path, records: list[IterationRecord]) -> None:
    write_log(path, records, max_bytes=20_000)
    assert path.with_name("decisions.jsonl.3").exists()
    report = replayed(path)
    assert (report.num_iterations, report.differences, report.stopped) == (len(records), (), "")


def test_each_start_of_a_replica_is_a_run_of_its_own(path: Path, records: list[IterationRecord]) -> None:
    write_log(path, records[:30])
    write_log(path, records)
    assert [report.num_iterations for report in replay_log(path)] == [30, len(records)]


def test_a_plan_that_differs_is_named(path: Path, records: list[IterationRecord]) -> None:
    write_log(path, records)
    edit_line(path, 6, lambda record: record["plan"].update(token_budget=77))
    report = replayed(path)
    assert report.num_iterations == 6
    (difference,) = report.differences
    assert str(difference).startswith("iteration 5: token_budget was 77, replayed ")


def test_another_policy_plans_otherwise(path: Path, records: list[IterationRecord]) -> None:
    write_log(path, records)
    edit_line(path, 0, lambda header: header["scheduler"].update(policy="sarathi-fcfs"))
    assert replayed(path).differences


def test_a_run_whose_beginning_was_rotated_away_cannot_be_replayed(path: Path, records: list[IterationRecord]) -> None:
    write_log(path, records[30:60])
    write_log(path, records)
    cut, whole = replay_log(path)
    assert cut.num_iterations == 0
    assert "begins at iteration 30" in cut.stopped
    assert whole.num_iterations == len(records)


def test_a_replay_ends_where_the_scheduler_was_set_otherwise(path: Path, records: list[IterationRecord]) -> None:
    write_log(path, records[:40])
    write_log(path, records[40:], policy="sarathi-edf")
    report = replayed(path)
    assert (report.num_iterations, report.differences) == (40, ())
    assert "set otherwise about iteration 40" in report.stopped


def test_a_record_that_was_dropped_is_missed(path: Path, records: list[IterationRecord]) -> None:
    write_log(path, [*records[:10], *records[11:]])
    with pytest.raises(ReplayError, match="iteration 10 is missing"):
        replayed(path)


def test_a_line_that_a_killed_agent_left_half_written_is_passed_over(
    path: Path, records: list[IterationRecord]
) -> None:
    write_log(path, records)
    text = path.read_text()
    path.write_text(text[:-40])
    report = replayed(path)
    assert (report.num_iterations, report.differences) == (len(records) - 1, ())


def test_a_log_without_iterations_has_no_runs(path: Path) -> None:
    write_log(path, [])
    assert list(replay_log(path)) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hello\n", "line 1: is no JSON"),
        ("[1, 2]\n", "line 1: must be an object"),
        ('{"a": 1}\n', "line 1: schema_version: must be 1, not None"),
        ("\xff\xfe\x00\n", "line 1: is no JSON"),
    ],
)
def test_a_file_that_is_no_decision_log_is_refused_in_words(path: Path, text: str, problem: str) -> None:
    path.write_text(text, encoding="latin-1")
    with pytest.raises(LogError, match=problem):
        replayed(path)


def test_a_broken_record_is_refused_with_its_line(path: Path, records: list[IterationRecord]) -> None:
    write_log(path, records)
    edit_line(path, 3, lambda record: record.pop("seconds"))
    with pytest.raises(LogError, match=r"decisions\.jsonl, line 4: seconds: is missing"):
        replayed(path)


def test_a_profile_that_is_not_known_is_refused(path: Path, records: list[IterationRecord]) -> None:
    write_log(path, records)
    edit_line(path, 0, lambda header: header.update(profile="abacus"))
    with pytest.raises(LogError, match="the log's profile: 'abacus' is unknown: choose one of a100-llama3-8b"):
        replayed(path)


def test_a_file_that_is_not_there_is_an_error_of_the_system(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replayed(path)


def test_a_planner_whose_predictor_learns_is_replayed_exactly(path: Path) -> None:
    body = Body(scheduler=SchedulerSettings(calibrated=True, margin_quantile=0.99), noise=0.05)
    records = records_of_paced_engine(body, some_traffic())
    write_log(path, records, calibrated=True, marginQuantile=0.99)
    report = replayed(path)
    assert (report.num_iterations, report.differences) == (len(records), ())
    other = path.with_name("other.jsonl")
    write_log(other, records)
    assert replayed(other).differences
