"""`niyama-agent` as a process: how it starts, what it says, how it ends."""

import asyncio
import json
import signal
import socket
from pathlib import Path

import pytest
from niyama_agent.__main__ import main

from tests.replica_agent.agents import Answer, Caller, a_message, settings_document
from tests.router.processes import running

NAMES = ("--cluster", "default/llama", "--replica", "llama-0", "--model", "llama")


async def test_sigterm_lets_what_runs_finish_and_ends_with_status_0(tmp_path: Path) -> None:
    async with running("niyama_agent", settings_document(), tmp_path) as process:
        assert process.ready["event"] == "ready"
        assert process.ready["engine"] == "paced"
        caller = Caller(process.address)
        streaming = asyncio.create_task(caller.generate(a_message(output=300)))
        while not (await caller.load()).kv_used_tokens:
            pass
        process.signal(signal.SIGTERM)
        answer = await streaming
        assert answer.completion.num_output_tokens == 300
        await caller.channel.close()
        async with asyncio.timeout(10):
            assert await process.process.wait() == 0


async def test_a_changed_file_takes_effect_without_a_restart_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    document = settings_document()
    config = tmp_path / "llama-0.json"

    async def until_max_tokens_are(caller: Caller, most: int) -> str:
        async with asyncio.timeout(10):
            while (described := await caller.describe()).max_output_tokens != most:  # noqa: ASYNC110, another process's state
                await asyncio.sleep(0.05)
        return described.policy

    async with running("niyama_agent", document, tmp_path) as process:
        caller = Caller(process.address)
        assert await until_max_tokens_are(caller, 4096) == "niyama"
        streaming = asyncio.create_task(caller.generate(a_message(output=4000)))
        changes = {"scheduler": {"policy": "sarathi-edf"}, "limits": {"maxOutputTokens": 50}}
        config.write_text(json.dumps(document | changes))
        assert await until_max_tokens_are(caller, 50) == "sarathi-edf"
        config.write_text("{broken")
        refused = await caller.generate(a_message("two", request={"max_tokens": 51}))
        assert refused.violated == ["request.max_tokens"]
        streaming.cancel()
        await asyncio.wait([streaming])
        answer: Answer = await caller.generate(a_message("three", output=50))
        assert answer.completion.num_output_tokens == 50
        await caller.channel.close()
        async with asyncio.timeout(10):
            assert await process.end() == 0


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("niyama-agent: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("flag", ["--listen", "--metrics"])
def test_a_port_that_is_taken_is_one_clear_line_and_status_1(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([*NAMES, flag, f"127.0.0.1:{port}"]) == 1
    assert f"127.0.0.1:{port}" in one_line(capsys)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("cluster: [", "agent.yaml"),
        ("just words", "no mapping"),
        ("cluster: c\nreplica: r\nmodel: m\nengine: {profile: h900}", "engine.profile"),
        ("cluster: c\nreplica: r\nmodel: m\nengines: {}", "engines: is not a field"),
        ("cluster: c\nreplica: r\nmodel: m\nredis: {url: 'redis://h:1', passwordFile: /nowhere}", "/nowhere"),
        ("cluster: c\nreplica: r\nmodel: m\ntls: {certificate: /nowhere, key: /nowhere}", "/nowhere"),
        ("cluster: c\nreplica: r\nmodel: m\ndecisionLog: {path: /proc/nowhere/log}", "/proc/nowhere"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_clear_line_and_status_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str, complaint: str
) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(content)
    assert main(["--config", str(file)]) == 1
    assert complaint in one_line(capsys)


def test_a_missing_file_is_one_clear_line_and_status_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--config", str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml" in one_line(capsys)


def test_missing_fields_are_said_all_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert "cluster: is required; replica: is required; model: is required" in one_line(capsys)


@pytest.mark.parametrize("arguments", [["--no-such-flag"], ["--speed", "fast"], ["--seed"]])
def test_wrong_usage_is_status_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: niyama-agent" in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "niyama-agent --config agent.yaml" in capsys.readouterr().out
