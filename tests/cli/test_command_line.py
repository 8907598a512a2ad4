"""The command as a whole: help, version, completion, and how it fails."""

import importlib
import os
import subprocess
import sys
import time

import pytest
from niyama_cli.__main__ import app, run
from niyama_cli.commands import COMMANDS
from niyama_cli.errors import CommandError
from typer.testing import CliRunner

Capture = pytest.CaptureFixture[str]

ROOMS = ("grpc", "numpy", "matplotlib", "redis", "yaml", "niyama_client", "niyama_eval", "niyama_runtime")
runner = CliRunner()


def niyama(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "niyama_cli", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_help_names_every_command_and_what_it_does() -> None:
    said = " ".join(runner.invoke(app, ["--help"], env={"COLUMNS": "200"}).output.split())
    assert all(name in said and summary in said for name, summary in COMMANDS.items())


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = runner.invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"niyama {command}" in result.output


def test_down_says_of_itself_what_the_list_of_commands_says() -> None:
    result = runner.invoke(app, ["down", "--help"], env={"COLUMNS": "200"})
    assert COMMANDS["down"] in result.output


@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_command_is_a_module_that_says_what_it_is(command: str) -> None:
    module = importlib.import_module(f"niyama_cli.{command}")
    assert module.__doc__ is not None
    assert module.__doc__.startswith(f"`niyama {command}`")


def test_the_version_is_told(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("niyama 0.")


def test_the_help_is_quick_because_no_room_is_imported() -> None:
    code = (
        "import sys\nfrom niyama_cli.__main__ import run\nrun(['--help'])\n"
        f"print('imported', [name for name in {ROOMS!r} if name in sys.modules])"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("imported []\n")
    assert time.monotonic() - start < 5, "a second on a quiet machine is a lot"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("niyama ben", "bench"),
        ("niyama generate --imp", "--importance"),
        ("niyama ", "status"),
        ("niyama up --engine p", "paced"),
        ("niyama up --policy sarathi-f", "sarathi-fcfs"),
        ("niyama bench --workload azure-code-2023 --workload sh", "sharegpt"),
        ("niyama sim run --workload ", "azure-conv-2023"),
        ("niyama sim run --policy n", "niyama"),
        ("niyama sim run --profile a100-llama3-8b", "a100-llama3-8b"),
        ("niyama sim run --placement n", "niyama"),
    ],
)
def test_a_shell_completes_commands_options_and_names(typed: str, completed: str) -> None:
    words = len(typed.split()) - (not typed.endswith(" "))
    done = niyama(_NIYAMA_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(words))
    assert completed in done.stdout.split(), done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "No such command 'nope'."),
        (["--nope"], "No such option: --nope"),
        (["generate", "x", "--nope"], "No such option: --nope"),
        (["validate"], "Missing option '--file' / '-f'."),
        (["generate", "x", "--importance", "urgent"], "urgent"),
        (["generate", "x", "--ttft", "2"], "'2' is no duration"),
        (["generate", "x", "--ttft=-2s"], "is no duration"),
        (["generate", "x", "--ttlt", "0s"], "not above zero"),
        (["status", "--address", "a:b:c"], "write host:port"),
    ],
)
def test_words_that_make_no_sense_are_told_in_one_line(arguments: list[str], said: str, capsys: Capture) -> None:
    assert run(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("niyama: ")
    assert output.err.count("\n") == 1
    assert said in output.err


def test_the_help_of_bench_names_the_workloads() -> None:
    said = runner.invoke(app, ["bench", "--help"], env={"COLUMNS": "250"}).output
    assert all(name in said for name in ("azure-code-2024", "sharegpt", "azure-conv-2023"))


def test_a_bare_niyama_shows_the_help(capsys: Capture) -> None:
    assert run([]) == 2
    output = capsys.readouterr()
    assert "generate" in output.out + output.err
    assert "niyama: " not in output.err


def test_a_failure_is_told_line_by_line(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def fail(_: object) -> None:
        raise CommandError("one thing\nanother", exit_code=3)

    monkeypatch.setattr("niyama_cli.validate.read_documents", fail)
    assert run(["validate", "-f", "x"]) == 3
    assert capsys.readouterr().err == "niyama: one thing\nniyama: another\n"


def test_a_fault_of_the_program_is_a_line_too_and_a_traceback_for_who_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("niyama_cli.validate.read_documents", fail)
    monkeypatch.delenv("NIYAMA_DEBUG", raising=False)
    assert run(["validate", "-f", "x"]) == 1
    assert capsys.readouterr().err == "niyama: ZeroDivisionError: division by zero (NIYAMA_DEBUG=1 shows where)\n"
    monkeypatch.setenv("NIYAMA_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run(["validate", "-f", "x"])


def test_a_reader_that_leaves_is_no_fault() -> None:
    command = f"{sys.executable} -m niyama_cli --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
