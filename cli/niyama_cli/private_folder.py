"""A folder of one process's own, that does not outlive it for long.

A process that ends in order removes its folder. One that is killed cannot, so the next one sweeps: each folder holds
a file that its owner keeps locked, and a folder whose lock is free has no owner any more.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["PrivateFolder"]

_PREFIX = "niyama-cluster-"
_LOCK = "lock"


class PrivateFolder:
    """A temporary folder that only this user may enter, from its making to `remove`.

    Attributes:
        path: where it is.
    """

    def __init__(self) -> None:
        """Make the folder, and sweep away those whose owners were killed.

        Raises:
            OSError: it cannot be made.
        """
        _sweep()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        draft = self.path / f"{_LOCK}.draft"
        self._lock = draft.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Only now has the lock its name: nobody finds it free before it is held.
        draft.rename(self.path / _LOCK)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if folder.lstat().st_uid == os.getuid() and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # another sweeps it, or its owner has just removed it


def _is_abandoned(folder: Path) -> bool:
    with (folder / _LOCK).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
