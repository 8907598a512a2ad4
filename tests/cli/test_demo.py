"""`niyama demo` from end to end, and cut short."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from niyama_cli.__main__ import run

from tests.cli.processes import children_of, wait_until, wait_until_gone

ROOT = Path(__file__).parents[2]
TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:15:{second:02d}.{part}000000,{500 + 400 * part},{5 + 7 * part}\n"
    for second in range(46, 60)
    for part in range(1, 9)
)


def start(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "niyama_cli", "demo", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.timeout(310)  # two runs of half a minute, each with a start and a drain, after the capacity was measured
def test_the_demo_shows_promises_kept_that_first_come_first_served_breaks(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "niyama_cli", "demo", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "important" in done.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    ours, theirs = results["policies"]["niyama"], results["policies"]["sarathi-fcfs"]
    for policy in (ours, theirs):
        assert policy["num_lost"] == 0
        assert policy["num_completed"] == policy["num_requests"] > 0
    assert ours["on_time"] > theirs["on_time"]
    assert ours["important_on_time"] > theirs["important_on_time"]
    assert results["saturation_rps"] > 0
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "attainment.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_demo_of_ones_own_trace_that_is_cut_short_leaves_nothing_behind(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text(TRACE)
    demo = start("--trace", str(trace), "--out", str(tmp_path / "out"))
    # Redis, two replicas, a router.
    wait_until(lambda: len(children_of(demo.pid)) >= 4 or demo.poll() is not None)
    children = children_of(demo.pid)
    assert demo.poll() is None
    demo.send_signal(signal.SIGINT)
    _, error = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert error == b"niyama: interrupted: nothing measured\n"
    wait_until_gone(children)
    assert not (tmp_path / "out").exists()


def test_a_broken_trace_is_told_before_anything_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens\n2023-11-16 18:15:46,12\n")
    manifest = ROOT / "examples" / "niyamacluster.yaml"
    assert run(["demo", "-f", str(manifest), "--trace", str(trace)]) == 1
    assert "GeneratedTokens" in capsys.readouterr().err
