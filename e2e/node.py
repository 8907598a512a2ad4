"""The real Kubernetes node that the tests bring up where nobody gave them a cluster.

The scripts in `e2e/node` do the work; this knows where its parts lie and what can be done
to it that no API offers: its API server held down, a container killed, the machine itself
stopped and started.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.kubectl import Kubectl
from e2e.programs import ROOT, ProgramError, run
from e2e.waiting import eventually

__all__ = ["Node", "prepare", "running_node"]

SCRIPTS = ROOT / "e2e" / "node"
BUILD_SECONDS = 3600  # the first time, on a slow machine; seconds from then on


@dataclass(frozen=True, slots=True)
class Node:
    """A node: where its programs are, and where it keeps all that it writes."""

    bin: Path
    state: Path

    @property
    def kubeconfig(self) -> Path:
        """Return the administrator's."""
        return self.state / "admin.kubeconfig"

    @property
    def logs(self) -> Path:
        """Return the folder with a log of each of its programs, and `audit.log`."""
        return self.state / "logs"

    @property
    def kubectl(self) -> Kubectl:
        """Return the administrator's kubectl."""
        return Kubectl(self.kubeconfig, self.bin / "kubectl")

    def start(self) -> None:
        """Start it, for the first time or after `stop`, and wait until its DNS answers."""
        run(SCRIPTS / "up", self.bin, self.state, seconds=180)

    def stop(self) -> None:
        """End all of it at once, as a power cut does; `start` brings it and its pods back."""
        os.kill(int((self.state / "node.pid").read_text()), signal.SIGKILL)

    def remove(self) -> None:
        """End it and remove all that it left."""
        run(SCRIPTS / "down", self.state)

    def load(self, *images: str) -> None:
        """Copy images from the builder's store into the node."""
        run(SCRIPTS / "load", self.state, *images, seconds=300)

    def kill_container(self, container: str) -> None:
        """Kill the first process of a container, named as a pod's status names it: no signal from inside can."""
        name = container.removeprefix("containerd://")
        inside = ("nsenter", f"--target={(self.state / 'inner.pid').read_text().strip()}", "--mount")
        run(*inside, "ctr", "--namespace=k8s.io", "task", "kill", "--signal=SIGKILL", name)

    @contextmanager
    def api_server_down(self) -> Iterator[None]:
        """Keep the API server dead while the context lasts; all else goes on running.

        After it the API server is ready, and its clients have yet to notice.
        """
        hold = self.state / "apiserver.hold"
        hold.touch()
        try:
            eventually(lambda: not self._answers(), within=10)
            yield
        finally:
            hold.unlink()
            eventually(self._answers, within=60)

    def _answers(self) -> bool:
        try:
            return self.kubectl("get", "--raw=/readyz", "--request-timeout=2s") == "ok"
        except ProgramError:
            return False


def prepare(folder: Path) -> None:
    """Bring Debian's packages and a node's programs, built below `folder` unless NIYAMA_E2E_BIN says where."""
    run(SCRIPTS / "packages", seconds=900)
    run(SCRIPTS / "build", _bin(folder), seconds=BUILD_SECONDS)


@contextmanager
def running_node(folder: Path) -> Iterator[Node]:
    """Start a node in `folder` from what `prepare` brought, and remove it in the end."""
    node = Node(_bin(folder), folder / "node")
    node.remove()  # what a run that was killed left behind
    try:
        node.start()
        yield node
    finally:
        node.remove()


def _bin(folder: Path) -> Path:
    return Path(os.environ.get("NIYAMA_E2E_BIN", folder / "bin")).resolve()
