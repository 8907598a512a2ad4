"""`niyama-router` as a command: what it says when it cannot start, how it ends, and how it takes changes."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from niyama.v1 import generation_pb2
from niyama_router.__main__ import main

from tests.router.conftest import StartReplica
from tests.router.harness import Client, until
from tests.router.processes import router_document, running
from tests.router.scripted_replica import saying, tokens


def complaint_about(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the line that a router leaves which cannot start."""
    config = tmp_path / "router.yaml"
    config.write_text(content)
    assert main(["--config", str(config)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_a_missing_file_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "gone.yaml")]) == 1
    assert "gone.yaml: No such file" in capsys.readouterr().err


def test_broken_yaml_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "router.yaml" in complaint_about("cluster: [", tmp_path, capsys)


def test_wrong_fields_are_one_line_with_every_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint_about("cluster: a/b\nlisten: here\nplacment: x\nreplicas: ['127.0.0.1:1']", tmp_path, capsys)
    assert "listen:" in line
    assert "placment: is not a field; did you mean placement?" in line
    assert "model: is required" in line


@pytest.mark.parametrize("field", ["listen", "metrics"])
def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        document = {**router_document(None, "127.0.0.1:1"), field: address}
        assert f"{address}: Address already in use" in complaint_about(json.dumps(document), tmp_path, capsys)


def test_a_certificate_that_is_not_there_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = router_document(None, "127.0.0.1:1", tls={"certificate": "gone.crt", "key": "gone.key"})
    assert "cannot read gone.crt" in complaint_about(json.dumps(document), tmp_path, capsys)


def test_a_certificate_for_replicas_that_is_not_there_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = router_document(None, "127.0.0.1:1", replicaTls={"ca": "gone.crt"})
    assert "cannot read gone.crt" in complaint_about(json.dumps(document), tmp_path, capsys)


def test_help_shows_an_example() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "niyama_router", "--help"], capture_output=True, text=True, check=True, timeout=20
    )
    assert "niyama-router --config router.yaml" in shown.stdout


async def test_a_second_signal_does_not_wait_for_streams(start_replica: StartReplica, tmp_path: Path) -> None:
    replica = await start_replica("only", saying(tokens(0, [1]), forever=True))
    document = router_document(None, replica.address, drainGrace="60s")
    async with running("niyama_router", document, tmp_path) as router:
        client = Client(router.address)
        call = client.stub.Generate(generation_pb2.GenerateRequest(prompt="x"))
        await call.read()
        router.signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        assert router.process.returncode is None
        router.signal(signal.SIGTERM)
        assert await asyncio.wait_for(router.process.wait(), 5) == -signal.SIGTERM
        call.cancel()
        await client.close()


async def test_changed_classes_apply_without_a_restart_and_broken_ones_not_at_all(
    start_replica: StartReplica, tmp_path: Path
) -> None:
    replica = await start_replica("only")
    document = router_document(None, replica.address)
    async with running("niyama_router", document, tmp_path) as router:
        client = Client(router.address)
        config = tmp_path / "router-0.json"
        config.write_text(json.dumps({**document, "qosClasses": [{"name": "new", "batch": {"ttlt": "1m"}}]}))

        async def is_new() -> bool:
            return [each.qos_class for each in (await client.status()).classes] == ["new"]

        await until(is_new)
        config.write_text(json.dumps({**document, "qosClasses": [{"name": "broken"}]}))
        await asyncio.sleep(1.2)
        assert await is_new()
        assert (await client.generate()).trailers["niyama-qos-class"] == "new"
        await client.close()
        assert await router.end() == 0
