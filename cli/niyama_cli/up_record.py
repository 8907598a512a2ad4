"""Which `niyama up` runs on this machine, known for sure: a file for each, locked by its process while it lives.

The note of `state_file` tells other commands where to send requests. Ending a cluster needs more: a process id in a
file may by then be a stranger's. The kernel drops the lock with its process, so a locked file names a live `niyama up`
and no other process; one without a lock is what a killed one left, and is swept away.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from niyama_cli.state_file import RunningCluster, read_state, remove_state, state_path, write_state

__all__ = ["on_record", "running_clusters"]


@contextlib.contextmanager
def on_record(cluster: RunningCluster) -> Iterator[None]:
    """Let the other commands find this process's cluster for as long as the context lasts.

    Raises:
        OSError: the record cannot be written.
    """
    path = write_state(cluster, _record_path(cluster.pid))
    try:
        with path.open() as record:
            fcntl.flock(record, fcntl.LOCK_EX)
            write_state(cluster)
            yield
    finally:
        path.unlink(missing_ok=True)
        remove_state(cluster.pid)
        for other in running_clusters()[:1]:
            write_state(other)


def running_clusters() -> list[RunningCluster]:
    """Return every cluster that `niyama up` runs on this machine, the latest first."""
    records = [cluster for path in _record_path("*").parent.glob(_record_path("*").name) if (cluster := _live(path))]
    return sorted(records, key=lambda cluster: cluster.started, reverse=True)


def _record_path(pid: int | str) -> Path:
    return state_path().with_name(f"up-{pid}.json")


def _live(path: Path) -> RunningCluster | None:
    """Return what a record says if its writer lives; remove it if not."""
    cluster = read_state(path)
    try:
        with path.open() as record:
            fcntl.flock(record, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return cluster
    except OSError:
        return None
    if cluster is None:
        path.unlink(missing_ok=True)
    return None
