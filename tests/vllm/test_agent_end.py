"""How an agent with a real vLLM begins and ends, and what is seen of it meanwhile."""

import asyncio
import re
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from niyama_runtime.grpc_channel import open_channel

from tests.replica_agent.agents import a_message
from tests.vllm.agent_process import (
    CPU_ARGUMENTS,
    CPU_ENVIRONMENT,
    AgentProcess,
    running_agent_process,
    started_agent_process,
)

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health_of(agent: AgentProcess) -> int:
    """Return what health says, once the agent listens."""
    channel = open_channel(agent.address)
    stub: Any = health_pb2_grpc.HealthStub(channel)
    try:
        return int((await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=180)).status)
    finally:
        await channel.close()


async def test_a_dead_engine_core_ends_the_agent_and_its_readers_are_told(model: Path, tmp_path: Path) -> None:
    with started_agent_process(model, tmp_path) as agent:
        assert await health_of(agent) == NOT_SERVING
        caller = agent.caller()
        early = await caller.generate(a_message())
        assert early.failure is not None
        assert (early.failure.code, early.failure.reason) == (grpc.StatusCode.UNAVAILABLE, "LOADING")
        await asyncio.to_thread(agent.wait_ready)
        streaming = asyncio.create_task(caller.generate(a_message(output=1500)))
        await asyncio.sleep(1.0)
        agent.engine_core().kill()
        answer = await streaming
        assert answer.failure is not None
        assert (answer.failure.code, answer.failure.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_DIED")
        assert await asyncio.to_thread(agent.process.wait, 120) == 1
        await caller.channel.close()
        assert "niyama-agent: vLLM's engine core has ended by itself" in agent.log.read_text()
        assert not agent.survivors()


async def test_a_drain_hands_back_what_has_not_begun_and_finishes_what_has(model: Path, tmp_path: Path) -> None:
    with running_agent_process(model, tmp_path, engine=[*CPU_ARGUMENTS, "--max-num-seqs", "1"]) as agent:
        caller = agent.caller()
        running = asyncio.create_task(caller.generate(a_message("runs", output=150)))
        await asyncio.sleep(0.5)
        waiting = [asyncio.create_task(caller.generate(a_message(f"waits-{i}", output=50))) for i in range(3)]
        await asyncio.sleep(0.3)
        assert await asyncio.to_thread(agent.end) == 0
        assert (await running).completion.num_output_tokens == 150
        assert [answer.kinds[-1] for answer in await asyncio.gather(*waiting)] == ["handed_back"] * 3
        await caller.channel.close()
        assert not agent.survivors()


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (["--max-model-length", "9"], r"engine\.arguments: unrecognized arguments: --max-model-length"),
        (["--scheduling-policy", "priority"], r"engine\.arguments: --scheduling-policy is Niyama's to decide"),
    ],
)
def test_wrong_arguments_are_told_in_a_line(model: Path, tmp_path: Path, engine: list[str], said: str) -> None:
    with started_agent_process(model, tmp_path, engine=[*CPU_ARGUMENTS, *engine]) as agent:
        assert agent.process.wait(300) == 1
        assert re.search(f"niyama-agent: .*{said}", agent.log.read_text()), agent.log.read_text()[-2000:]


def test_memory_that_does_not_suffice_is_told_in_a_line(model: Path, tmp_path: Path) -> None:
    # The variable would go before the argument.
    environment = {**CPU_ENVIRONMENT, "VLLM_CPU_KVCACHE_SPACE": ""}
    engine = [*CPU_ARGUMENTS, "--kv-cache-memory-bytes", "100000"]
    with started_agent_process(model, tmp_path, engine=engine, environment=environment) as agent:
        assert agent.process.wait(300) == 1
        assert re.search(r"niyama-agent: engine\.model .* was not loaded", agent.log.read_text())


def test_a_model_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    with started_agent_process(tmp_path / "nowhere", tmp_path) as agent:
        assert agent.process.wait(300) == 1
        assert re.search(r"niyama-agent: engine\.model '.*nowhere'", agent.log.read_text())


async def test_sigterm_while_it_loads_ends_it_in_good_order(model: Path, tmp_path: Path) -> None:
    with started_agent_process(model, tmp_path) as agent:
        await health_of(agent)
        assert await asyncio.to_thread(agent.end, 300) == 0
