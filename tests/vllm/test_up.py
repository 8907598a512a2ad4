"""A cluster of a real vLLM on this machine, by `niyama up`, as `make up-vllm` runs it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from niyama_sim.replay import replay_log

from tests.cluster_process import free_port

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "vllm.yaml"


def niyama(*arguments: object, state: Path) -> str:
    command = [sys.executable, "-m", "niyama_cli", *map(str, arguments)]
    environment = {**os.environ, "XDG_STATE_HOME": str(state), "NIYAMA_PROFILES": str(state / "profiles")}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


async def test_a_cluster_of_vllm_answers_and_its_log_is_planned_again(model: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "vllm.yaml"
    manifest.write_text(EXAMPLE.read_text().replace("../out/tiny-llama", model.name))
    (tmp_path / model.name).symlink_to(model)
    logs = tmp_path / "decisions"
    niyama("up", "-f", manifest, "--port", free_port(), "--decision-logs", logs, "--detach", state=tmp_path)
    try:
        asked = ("generate", "Hello", "--max-tokens", 12, "--json")
        answers = await asyncio.gather(
            *(asyncio.to_thread(niyama, *asked, "--class", name, state=tmp_path) for name in ("chat", "summarise") * 3)
        )
        assert all(json.loads(answer[answer.index("{") :]) for answer in answers)
        assert "vllm" in niyama("status", state=tmp_path)
    finally:
        niyama("down", state=tmp_path)
    (report,) = replay_log(logs / "replica-0.jsonl")
    assert report.num_iterations > 10
    assert not report.differences
    assert not report.stopped
