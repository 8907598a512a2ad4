"""`niyama-agent --engine vllm` as a process: from its first line to its end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from niyama_runtime.child_process import dying_with_parent

from tests.cluster_process import free_port
from tests.replica_agent.agents import Caller

__all__ = ["CPU_ARGUMENTS", "CPU_ENVIRONMENT", "AgentProcess", "running_agent_process", "started_agent_process"]

CPU_ENVIRONMENT: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}
CPU_ARGUMENTS: Sequence[str] = (
    "--dtype",
    "float32",
    "--enforce-eager",
    "--max-model-len",
    "2048",
    "--gpu-memory-utilization",
    "0.1",
)


@dataclass(slots=True)
class AgentProcess:
    """An agent that was started."""

    process: "subprocess.Popen[str]"
    address: str
    log: Path
    family: list[psutil.Process] = field(default_factory=list)

    def caller(self) -> Caller:
        """Return a caller of it; its channel is the test's to close."""
        return Caller(self.address)

    def wait_ready(self) -> dict[str, Any]:
        """Wait until it serves and return what it said."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()[-3000:]
        ready: dict[str, Any] = json.loads(line)
        self.family = psutil.Process(self.process.pid).children(recursive=True)
        return ready

    def engine_core(self) -> psutil.Process:
        """Return vLLM's engine-core process: the one whose own child computes."""
        return next(process for process in self.family if process.children())

    def end(self, seconds: float = 60) -> int:
        """Drain and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def survivors(self) -> list[psutil.Process]:
        """Return the processes of the engine that live on a few seconds after it."""
        _, alive = psutil.wait_procs(self.family, timeout=60)
        return alive


@contextmanager
def started_agent_process(
    model: Path,
    folder: Path,
    *arguments: str,
    engine: Sequence[str] = CPU_ARGUMENTS,
    environment: Mapping[str, str] = CPU_ENVIRONMENT,
) -> Iterator[AgentProcess]:
    """Start an agent and end it with the block, ready or not; `engine` are vLLM's own arguments."""
    address = f"127.0.0.1:{free_port()}"
    log = folder / "agent.log"
    command = [sys.executable, "-m", "niyama_agent", "--cluster", "tests/vllm", "--replica", "vllm-0"]
    command += ["--engine", "vllm", "--model", str(model), "--listen", address, "--replay", *arguments, "--", *engine]
    with log.open("wb") as output:
        process = subprocess.Popen(
            dying_with_parent(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env={**os.environ, **environment, "NIYAMA_PROFILES": str(folder / "profiles")},
        )
    agent = AgentProcess(process, address, log)
    try:
        yield agent
    finally:
        _end(agent)


@contextmanager
def running_agent_process(
    model: Path, folder: Path, *arguments: str, engine: Sequence[str] = CPU_ARGUMENTS
) -> Iterator[AgentProcess]:
    """Run an agent that serves until the end of the block."""
    with started_agent_process(model, folder, *arguments, engine=engine) as agent:
        agent.wait_ready()
        yield agent


def _end(agent: AgentProcess) -> None:
    """End an agent and all that it has started, however it is."""
    process = agent.process
    if process.poll() is None:
        process.terminate()
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
    family = agent.family or ([] if process.poll() is not None else psutil.Process(process.pid).children(True))
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    for relative in family:
        if relative.is_running():
            relative.kill()
