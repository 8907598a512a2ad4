"""Who is served when changes nothing of what is answered: token for token as stock vLLM."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.vllm.agent_process import CPU_ENVIRONMENT

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

NUMBER = 200
_PROGRAM = Path(__file__).with_name("answers.py")


def answers_of(scheduler: str, model: Path) -> list[Any]:
    command = [sys.executable, str(_PROGRAM), str(model), scheduler, str(NUMBER)]
    ran = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **CPU_ENVIRONMENT}, timeout=420, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    # vLLM writes its log to the same place.
    (line,) = (line for line in ran.stdout.splitlines() if line.startswith("[[["))
    answers: list[Any] = json.loads(line)
    return answers


def test_answers_are_those_of_stock_vllm_token_for_token(model: Path) -> None:
    stock, ours = answers_of("stock", model), answers_of("niyama", model)
    different = [index for index, (one, other) in enumerate(zip(stock, ours, strict=True)) if one != other]
    assert not different
    assert len(stock) > NUMBER
    assert {answer[0][0] for answer in stock} == {"length", "stop"}
