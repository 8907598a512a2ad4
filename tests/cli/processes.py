"""Whether processes live, for tests that must be sure of it."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["children_of", "is_alive", "wait_until", "wait_until_gone"]


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    fields = _stat(pid)
    return fields is not None and fields[0] != "Z"


def children_of(pid: int) -> set[int]:
    """Return every process below `pid` that runs, however deep."""
    parents = {int(entry.name): _stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    found: set[int] = set()
    frontier = {pid}
    while frontier:
        frontier = {child for child, stat in parents.items() if stat and int(stat[1]) in frontier} - found
        found |= frontier
    return {child for child in found if is_alive(child)}


def wait_until(condition: Callable[[], object], *, seconds: float = 30.0) -> None:
    """Return when `condition` holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def wait_until_gone(pids: Iterable[int], *, seconds: float = 30.0) -> None:
    """Return when none of the processes runs."""
    wanted = set(pids)
    wait_until(lambda: not any(map(is_alive, wanted)), seconds=seconds)


def _stat(pid: int) -> list[str] | None:
    """Return state, parent and so on, as the kernel lists them."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
