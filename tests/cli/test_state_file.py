"""The note that `niyama up` leaves for the other commands."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from niyama_cli.option_types import router_target
from niyama_cli.state_file import RunningCluster, read_state, remove_state, state_path, write_state

NOTE = RunningCluster(
    pid=os.getpid(),
    cluster="default/llama",
    router="127.0.0.1:50051",
    routers=("127.0.0.1:50051", "127.0.0.1:50052"),
    redis="redis://127.0.0.1:6379",
    metrics={"router-0": "http://127.0.0.1:9090/metrics"},
    started="2026-01-01T00:00:00+00:00",
)


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("NIYAMA_ADDRESS", raising=False)
    return tmp_path / "niyama" / "up.json"


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_the_note_reads_back_as_it_was_written(path: Path) -> None:
    assert write_state(NOTE) == path
    assert read_state() == NOTE
    assert list(path.parent.iterdir()) == [path]


def test_without_an_own_place_the_note_lies_in_the_home_directory() -> None:
    assert state_path({"HOME": "/home/ada"}) == Path("/home/ada/.local/state/niyama/up.json")


def test_a_note_of_a_process_that_has_gone_counts_for_nothing() -> None:
    write_state(RunningCluster(pid=dead_pid(), cluster="default/llama", router="127.0.0.1:1"))
    assert read_state() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"pid": "1"}',
        '{"pid": -1, "cluster": "a", "router": "b"}',
        '{"pid": 1, "router": 2}',
    ],
)
def test_a_broken_note_counts_for_nothing(text: str, path: Path) -> None:
    path.parent.mkdir()
    path.write_text(text)
    assert read_state() is None
    remove_state(os.getpid())
    assert path.exists()


def test_a_note_is_removed_by_its_writer_alone(path: Path) -> None:
    write_state(NOTE)
    remove_state(NOTE.pid + 1)
    assert path.exists()
    remove_state(NOTE.pid)
    assert not path.exists()
    remove_state(NOTE.pid)


def test_fields_of_later_versions_are_passed_over(path: Path) -> None:
    write_state(NOTE)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": 1}))
    assert read_state() == NOTE


def test_a_command_asks_the_address_given_else_the_running_routers_else_the_usual_port() -> None:
    assert router_target(None).address == "localhost:50051"
    write_state(NOTE)
    assert router_target(None).address == "127.0.0.1:50051,127.0.0.1:50052"
    assert router_target("router:1").address == "router:1"
