"""A cluster as a person runs it, for tests that need a real one: `niyama up` as a process, and nothing left of it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from niyama_cli.state_file import read_state
from niyama_runtime.child_process import dying_with_parent

from tests.cli.processes import wait_until

__all__ = ["free_port", "running_cluster"]

MANIFEST = """
apiVersion: niyama.dev/v1alpha1
kind: NiyamaCluster
metadata: {name: tested}
spec:
  model: {name: m, servedName: tiny, maxOutputTokens: 2000}
  replicas: 2
  qosClasses:
  - {name: chat, interactive: {ttft: 2s, tbt: 50ms}, default: true}
  - {name: summarise, batch: {ttlt: 45s}}
  - {name: nightly, batch: {ttlt: 2m}, importance: low}
"""


def free_port() -> int:
    """Return a port that nobody has taken, for the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_cluster(folder: Path, *arguments: str) -> Iterator[str]:
    """Yield the router's address of a cluster that runs while the context lasts; its state lies in `folder`/state.

    It ends with the tests even when they are killed.
    """
    manifest, log = folder / "cluster.yaml", folder / "up.log"
    manifest.write_text(MANIFEST)
    state = folder / "state"
    command = [sys.executable, "-m", "niyama_cli", "up", "-f", str(manifest), "--port", str(free_port()), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(
            dying_with_parent(command),
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "XDG_STATE_HOME": str(state)},
            start_new_session=True,
        )
    try:
        wait_until(lambda: process.poll() is not None or read_state(state / "niyama" / "up.json"), seconds=30)
        cluster = read_state(state / "niyama" / "up.json")
        assert cluster is not None, log.read_text()
        yield cluster.router
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, 130), log.read_text()
