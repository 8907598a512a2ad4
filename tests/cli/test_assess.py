"""`niyama assess`: traffic in words, as files, and as figures."""

import json
from pathlib import Path

import pytest
from niyama_cli.__main__ import run


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A trace of a minute, answers short and long in turn."""
    rows = [f"2023-11-16 18:00:{s:02},{500 + s},{20 if s % 2 else 600}" for s in range(60)]
    path = tmp_path / "office.csv"
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]) + "\n")
    return path


def test_traffic_is_told_with_the_classes_that_it_suggests(capsys: pytest.CaptureFixture[str], trace: Path) -> None:
    assert run(["assess", str(trace)]) == 0
    said = capsys.readouterr().out
    for words in ("office: 60 requests", "arrivals: 1.00 requests/s", "Suggested classes", "interactive", "batch"):
        assert words in said


def test_the_written_manifest_is_valid_and_the_next_command_is_named(
    capsys: pytest.CaptureFixture[str], trace: Path, tmp_path: Path
) -> None:
    classes, picture = tmp_path / "classes.yaml", tmp_path / "traffic.png"
    assert run(["assess", str(trace), "--write", str(classes), "--plot", str(picture)]) == 0
    assert f"niyama capacity --trace {trace} --classes {classes} --mix 50:50" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run(["validate", "-f", str(classes)]) == 0


def test_json_has_figures_remarks_and_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["assess", "sharegpt", "--profile", "h100x4-llama3-70b", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rates"] is None
    assert said["prompts"]["p50"] == pytest.approx(1730, rel=0.05)
    assert [one["name"] for one in said["classes"]] == ["interactive", "batch"]
    assert "h100x4-llama3-70b" in said["manifest"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is neither a workload nor a file"),
        (b"", "row 1, column TIMESTAMP: the header lacks it"),
        (b"TIMESTAMP,ContextTokens\n2023-11-16 18:00:00,1\n", "row 1, column GeneratedTokens: the header lacks it"),
        (b"TIMESTAMP,ContextTokens,GeneratedTokens\n", "has no rows below its header"),
        (b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00,nan,1\n", "row 2, column ContextTokens"),
        (b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00,1,-1\n", "row 2, column GeneratedTokens: -1"),
        (b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00,1000000,1\n", "above the bound"),
        (b"\x89PNG\xff\xfe", "is no CSV text"),
    ],
)
def test_a_file_that_is_no_trace_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "trace.csv"
    if content is not None:
        path.write_bytes(content)
    assert run(["assess", str(path)]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert str(path) in line
