"""What is kept of a cluster when a test fails: enough to find the cause without running it again.

A folder for each failed test, and a page of text for the terminal. Nothing here may fail or
hang: the API server may be the very thing that is down.
"""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from e2e.kubectl import Kubectl
from e2e.programs import ProgramError

__all__ = ["collect"]

LAST_LINES = 400
SYSTEM = ("kube-system", "kube-public", "kube-node-lease")


def collect(kubectl: Kubectl, folder: Path, *, node_logs: Path | None = None) -> str:
    """Write pods, events, descriptions and logs below `folder`, and return the page in short."""
    folder.mkdir(parents=True, exist_ok=True)
    pods = _ask(kubectl, "get", "pods", "--all-namespaces", "--output=wide")
    events = _ask(kubectl, "get", "events", "--all-namespaces", "--sort-by=.lastTimestamp")
    (folder / "pods.txt").write_text(pods)
    (folder / "events.txt").write_text(events)
    kinds = (
        "niyamaclusters,deployments,statefulsets,replicasets,services,endpointslices,configmaps,poddisruptionbudgets"
    )
    for kind in kinds.split(","):
        (folder / f"{kind}.yaml").write_text(_ask(kubectl, "get", kind, "--all-namespaces", "--output=yaml"))
    for pod in _pods(kubectl):
        _keep_pod(kubectl, pod, folder)
    for log in sorted(node_logs.glob("*.log")) if node_logs else ():
        if log.name != "audit.log":
            (folder / f"node-{log.name}").write_text(_last_lines(log))
    return f"pods\n{pods}\nlast events\n" + "\n".join(events.splitlines()[-15:]) + f"\n\nall of it: {folder}"


def _ask(kubectl: Kubectl, *arguments: str) -> str:
    """Return the answer, or what went wrong instead of it."""
    try:
        return kubectl(*arguments, "--request-timeout=5s", seconds=15)
    except (ProgramError, subprocess.TimeoutExpired) as error:
        return str(error)


def _pods(kubectl: Kubectl) -> Sequence[Any]:
    try:
        pods = kubectl.items("pods", "--all-namespaces", "--request-timeout=5s")
    except (ProgramError, subprocess.TimeoutExpired):
        return []
    return [pod for pod in pods if pod["metadata"]["namespace"] not in SYSTEM]


def _keep_pod(kubectl: Kubectl, pod: Any, folder: Path) -> None:  # noqa: ANN401 - a document of the API
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    there = kubectl.within(namespace)
    (folder / f"{namespace}-{name}.txt").write_text(_ask(there, "describe", f"pod/{name}"))
    for container, restarted in _containers(pod):
        log = _ask(there, "logs", name, f"--container={container}", f"--tail={LAST_LINES}", "--timestamps")
        (folder / f"{namespace}-{name}-{container}.log").write_text(log)
        if restarted:
            log = _ask(there, "logs", name, f"--container={container}", f"--tail={LAST_LINES}", "--previous")
            (folder / f"{namespace}-{name}-{container}-previous.log").write_text(log)


def _containers(pod: Any) -> Iterator[tuple[str, bool]]:  # noqa: ANN401 - a document of the API
    status = pod["status"]
    for container in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
        yield container["name"], container["restartCount"] > 0


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:]) + "\n"
