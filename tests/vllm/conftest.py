"""What the tests with a real vLLM share: a tiny model, and an agent that serves it.

They run in an environment of their own (`make test-vllm`). Starting vLLM takes half a minute, so one agent serves all
tests that leave it as it was.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vllm.agent_process import AgentProcess, running_agent_process
from tests.vllm.tiny_model import build_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model with random weights."""
    return build_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def agent(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """Return an agent that serves the model for all tests."""
    with running_agent_process(model, tmp_path_factory.mktemp("agent")) as process:
        yield process
