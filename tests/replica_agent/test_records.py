"""The decision log and the iteration records as files."""

import asyncio
import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from niyama_agent.decision_log import header_line, open_decision_log
from niyama_agent.iteration_file import open_iteration_records
from niyama_agent.record_file import RecordFile
from niyama_agent.settings import RotationSettings, parse_settings
from niyama_core.iteration_csv import COLUMNS
from niyama_core.journal import IterationRecord, JournalHeader
from niyama_core.planner import IterationPlanner
from niyama_core.policies import build_policy, build_predictor
from niyama_core.replay import replay
from niyama_runtime.clock import VirtualClock

from tests.builders import A100, a_batch_request, a_request
from tests.replica_agent.agents import a_message, running_agent, settings_document
from tests.replica_agent.engine_room import asks, in_virtual_time, running_engine

AGENT = parse_settings(settings_document(engine={}))


@pytest.fixture(scope="module")
def records() -> list[IterationRecord]:
    """What an engine did with a few requests, some of them relegated."""

    async def story(clock: VirtualClock) -> list[IterationRecord]:
        async with running_engine(clock) as room:
            readers = [room.open(asks(a_request(f"r{i}", ttft=0.3, prompt=2000), output=20)) for i in range(8)]
            readers.append(room.open(asks(a_batch_request(), output=20)))
            for reader in readers:
                await reader.finished()
            return room.records

    return in_virtual_time(story)


def written(file: RecordFile, records: list[IterationRecord]) -> None:
    for record in records:
        file.put(record)
    file.close()


def read_log(path: Path) -> tuple[JournalHeader, Iterator[IterationRecord]]:
    header, *lines = path.read_text().splitlines()
    return JournalHeader.from_json_dict(json.loads(header)), (
        IterationRecord.from_json_dict(json.loads(line)) for line in lines
    )


def test_a_decision_log_reads_back_as_it_was(tmp_path: Path, records: list[IterationRecord]) -> None:
    path = tmp_path / "new folder" / "log.jsonl"
    written(open_decision_log(RotationSettings(path, 10_000_000, 1), AGENT), records)
    header, read = read_log(path)
    assert list(read) == records
    assert header.replica == "llama-0"
    assert any(record.plan.relegated for record in records)


def test_a_log_that_was_written_by_an_agent_can_be_planned_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"

    async def story() -> None:
        async with running_agent(decisionLog={"path": str(path)}) as running:
            for i in range(5):
                await running.caller.generate(a_message(f"r{i}", prompt="x" * 4000, output=10))

    asyncio.run(story())
    header, read = read_log(path)
    profile = A100.at_speed(header.speed)
    predictor = build_predictor(header.scheduler, profile.predictor)
    policy = build_policy(header.scheduler, predictor).at_speed(header.speed)
    planner = IterationPlanner(policy, predictor, max_num_seqs=header.scheduler.max_num_seqs)
    all_read = list(read)
    assert len(all_read) >= 50
    assert list(replay(all_read, planner)) == []


def test_every_file_of_a_rotation_begins_with_the_header_and_no_record_is_lost(
    tmp_path: Path, records: list[IterationRecord]
) -> None:
    path = tmp_path / "log.jsonl"
    written(open_decision_log(RotationSettings(path, 5000, 50), AGENT), records)
    files = sorted(tmp_path.iterdir(), key=lambda file: int(file.suffix[1:]) if file.suffix != ".jsonl" else 0)
    assert len(files) > 2
    read: list[IterationRecord] = []
    for file in reversed(files):
        header, part = read_log(file)
        assert header.scheduler == AGENT.scheduler
        assert file.stat().st_size <= 5000
        read += part
    assert read == records


def test_only_so_many_old_files_are_kept(tmp_path: Path, records: list[IterationRecord]) -> None:
    written(open_decision_log(RotationSettings(tmp_path / "log", 5000, 2), AGENT), records)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log", "log.1", "log.2"]


def test_the_log_of_an_earlier_start_is_kept_beside(tmp_path: Path, records: list[IterationRecord]) -> None:
    path = tmp_path / "log.jsonl"
    for part in (records[:3], records[:5]):
        written(open_decision_log(RotationSettings(path, 10_000_000, 1), AGENT), part)
    assert len(path.read_text().splitlines()) == 6
    assert len((tmp_path / "log.jsonl.1").read_text().splitlines()) == 4


def test_another_policy_begins_another_file(tmp_path: Path, records: list[IterationRecord]) -> None:
    path = tmp_path / "log.jsonl"
    file = open_decision_log(RotationSettings(path, 10_000_000, 1), AGENT)
    file.put(records[0])
    changed = parse_settings(settings_document(scheduler={"policy": "sarathi-edf"}))
    file.restart(header_line(changed))
    written(file, records[1:3])
    header, read = read_log(path)
    assert header.scheduler.policy == "sarathi-edf"
    assert [record.index for record in read] == [1, 2]
    _, former = read_log(tmp_path / "log.jsonl.1")
    assert [record.index for record in former] == [0]


def test_a_disk_that_fails_costs_records_until_it_is_back(tmp_path: Path, records: list[IterationRecord]) -> None:
    folder = tmp_path / "gone"
    file = open_decision_log(RotationSettings(folder / "log", 5000, 0), AGENT)
    (folder / "log").unlink()
    folder.rmdir()
    for record in records:
        file.put(record)
    while not file.num_dropped:
        pass
    folder.mkdir()
    written(file, records)
    assert len((folder / "log").read_text().splitlines()) > 1


def test_iteration_records_are_rows_of_what_an_iteration_costs(tmp_path: Path, records: list[IterationRecord]) -> None:
    path = tmp_path / "iterations.csv"
    written(open_iteration_records(RotationSettings(path, 10_000_000, 0)), records)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(records)
    for row, record in zip(rows, records, strict=True):
        assert float(row["seconds"]) == record.seconds
        assert int(row["prefill_tokens"]) == record.plan.shape.prefill_tokens
        assert float(row["prefill_attention"]) == record.plan.shape.prefill_attention
