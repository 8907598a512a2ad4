"""Agents and routers as real processes, as `niyama up` and a cluster run them, ended for sure."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niyama_runtime.child_process import dying_with_parent


@dataclass(slots=True)
class RoleProcess:
    """A process that has said where it listens."""

    process: asyncio.subprocess.Process
    ready: dict[str, Any]

    @property
    def address(self) -> str:
        return str(self.ready["address"])

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self) -> int:
        """Drain and return the exit status."""
        self.signal(signal.SIGTERM)
        return await self.process.wait()


@contextlib.asynccontextmanager
async def running(module: str, document: dict[str, Any], folder: Path) -> AsyncIterator[RoleProcess]:
    """Run `python -m module --config FILE` until the end of the block."""
    name = document.get("replica") or document["router"]
    config = folder / f"{name}.json"
    config.write_text(json.dumps(document))
    with (folder / f"{name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *dying_with_parent([sys.executable, "-m", module, "--config", str(config)]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        assert line, (folder / f"{name}.log").read_text()
        yield RoleProcess(process, json.loads(line))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined] # asyncio leaves it to the collector


def agent_document(name: str, redis_url: str | None, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "cluster": "tests/cluster",
        "replica": name,
        "model": "test-model",
        "listen": "127.0.0.1:0",
        "engine": {"type": "paced", "speed": 4.0, "replay": True},
        "drainGrace": "5s",
        **({"redis": {"url": redis_url}} if redis_url else {}),
        **fields,
    }


def router_document(redis_url: str | None, *replicas: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "cluster": "tests/cluster",
        "router": "router-0",
        "model": "test-model",
        "listen": "127.0.0.1:0",
        "replay": True,
        "drainGrace": "5s",
        **({"redis": {"url": redis_url}} if redis_url else {}),
        **({"replicas": list(replicas)} if replicas else {}),
        **fields,
    }
