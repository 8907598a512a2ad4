"""Where `niyama up` notes what it has started, so that other commands on this machine find it.

One small JSON file in the user's state directory. It is a note and no lock: a process that was killed leaves it
behind, so whoever reads it looks whether the process that wrote it still lives.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = ["RunningCluster", "read_state", "remove_state", "state_path", "write_state"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCluster:
    """A cluster that runs on this machine.

    Attributes:
        pid: process of `niyama up`.
        cluster: namespace/name.
        router: host:port of the router to ask; the first of `routers`.
        routers: host:port of every router.
        redis: URL of the cluster's Redis.
        metrics: URL of each process's metrics, by the process's name.
        started: when it was started, in ISO 8601 with a zone.
    """

    pid: int
    cluster: str
    router: str
    routers: tuple[str, ...] = ()
    redis: str = ""
    metrics: Mapping[str, str] = field(default_factory=dict)
    started: str = ""


def state_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the note lies: in XDG_STATE_HOME, or else in ~/.local/state."""
    home = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    return Path(home) / "niyama" / "up.json"


def write_state(cluster: RunningCluster, path: Path | None = None) -> Path:
    """Write the note in one step, so that nobody reads half of it; return where it lies.

    Raises:
        OSError: it cannot be written.
    """
    path = path or state_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(asdict(cluster), indent=2) + "\n", encoding="utf-8")
    draft.replace(path)
    return path


def read_state(path: Path | None = None) -> RunningCluster | None:
    """Return the cluster that runs on this machine; None when there is none, or when the note is broken or stale."""
    try:
        document = json.loads((path or state_path()).read_text(encoding="utf-8"))
        cluster = _parse(document)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return cluster if _lives(cluster.pid) else None


def remove_state(pid: int, path: Path | None = None) -> None:
    """Remove the note if the process `pid` wrote it; another's is left in peace."""
    path = path or state_path()
    try:
        if json.loads(path.read_text(encoding="utf-8")).get("pid") == pid:
            path.unlink(missing_ok=True)
    except (OSError, ValueError, AttributeError):
        return


def _parse(document: Mapping[str, object]) -> RunningCluster:
    pid, routers, metrics = document["pid"], document.get("routers", ()), document.get("metrics", {})
    if not (isinstance(pid, int) and pid > 0 and isinstance(routers, list | tuple) and isinstance(metrics, dict)):
        raise TypeError("a field of the note has the wrong kind")
    return RunningCluster(
        pid=pid,
        cluster=str(document["cluster"]),
        router=str(document["router"]),
        routers=tuple(map(str, routers)),
        redis=str(document.get("redis", "")),
        metrics={str(name): str(url) for name, url in metrics.items()},
        started=str(document.get("started", "")),
    )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
