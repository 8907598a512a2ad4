"""Iteration records in a rotating text file, written by a thread of its own.

Tokens wait for whoever takes a record, so taking one only puts it into a queue. The queue is bounded: when the disk
cannot keep up, records are dropped and counted, and the engine goes on. Each file begins with a header, so that each
can be read alone; one that an earlier start has left is rotated out first.
"""

import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import structlog
from niyama_core.journal import IterationRecord

from niyama_agent.settings import RotationSettings

__all__ = ["RecordFile"]

_MAX_WAITING = 10_000

_log = structlog.get_logger(__name__)


class RecordFile:
    """One rotating file, from the moment it is made until `close`.

    Args:
        settings: where, how large, how many.
        header: first line of each file, without its end.
        render: makes one line of a record, without its end; called on the writing thread.
    """

    def __init__(self, settings: RotationSettings, *, header: str, render: Callable[[IterationRecord], str]) -> None:
        """Begin a file.

        Raises:
            OSError: it cannot be written.
        """
        self._settings = settings
        self._render = render
        self._header = header
        self._queue: queue.Queue[IterationRecord | str | None] = queue.Queue(_MAX_WAITING)
        self._num_bytes = 0
        self.num_dropped = 0
        """Records that were not written."""
        settings.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._begin()
        self._thread = threading.Thread(target=self._write_all, name=settings.path.name, daemon=True)
        self._thread.start()

    def put(self, record: IterationRecord) -> None:
        """Take a record; it is written soon, or dropped when too many wait."""
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self._drop("too many records wait")

    def restart(self, header: str) -> None:
        """Begin a new file with another header, behind the records that wait."""
        self._queue.put(header)

    def close(self) -> None:
        """Write what waits and close the file. Blocks while it does."""
        self._queue.put(None)
        self._thread.join()

    def _write_all(self) -> None:
        """Write until told to stop; a fault costs records and never the thread."""
        while (item := self._queue.get()) is not None:
            try:
                self._write(item)
                if self._queue.empty():
                    self._file.flush()
            except OSError as error:
                self._drop(str(error))
        self._file.close()

    def _write(self, item: IterationRecord | str) -> None:
        if isinstance(item, str):
            self._header = item
            self._rotate()
            return
        line = self._render(item)
        if self._file.closed:
            # The disk failed at the last rotation and may be back.
            self._file = self._begin()
        if self._num_bytes + len(line) + 1 > self._settings.max_bytes:
            self._rotate()
        self._put_line(self._file, line)

    def _rotate(self) -> None:
        self._file.close()
        self._file = self._begin()

    def _begin(self) -> TextIO:
        """Move older files up by one, drop the oldest, and begin a new one."""
        path, keep = self._settings.path, self._settings.keep
        for number in range(keep, 0, -1):
            older = _numbered(path, number - 1)
            if older.exists():
                os.replace(older, _numbered(path, number))
        self._num_bytes = 0
        file = path.open("w", encoding="utf-8")
        self._put_line(file, self._header)
        file.flush()
        return file

    def _put_line(self, file: TextIO, line: str) -> None:
        file.write(f"{line}\n")
        self._num_bytes += len(line) + 1

    def _drop(self, reason: str) -> None:
        if not self.num_dropped:
            _log.warning("records_dropped", file=str(self._settings.path), reason=reason)
        self.num_dropped += 1


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path
