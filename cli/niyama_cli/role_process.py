"""One role as a child process: its log in a file, its end polite at first and certain in any case.

The child leads a session of its own, so that Ctrl-C in a terminal reaches only the supervisor, which ends its
children in good order; and the kernel ends it when the supervisor is killed.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from niyama_runtime.child_process import dying_with_parent

__all__ = ["RoleProcess", "module_command"]

_TAIL_BYTES = 8192


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a Python module as this very Python would."""
    return [sys.executable, "-m", module, *arguments]


class RoleProcess:
    """A child process that can be started again after its end."""

    def __init__(
        self, command: Sequence[str], log_file: Path, *, grace: float, environment: Mapping[str, str] | None = None
    ) -> None:
        """Prepare; `grace` is the seconds that the child has between SIGTERM and SIGKILL.

        What `environment` sets counts where this process's own environment does not.
        """
        self._environment = dict(environment or {})
        self._command = tuple(command)
        self._log_file = log_file
        self._grace = grace
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the process, in the thread that lives as long as this one's process.

        Raises:
            OSError: the program or the log file is not there.
        """
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                # A supervisor that was killed can force nobody any more: what would drain for ever must not.
                *dying_with_parent(self._command, by=signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # A log that is read when something went wrong must be there by then.
                env={**self._environment, **os.environ, "PYTHONUNBUFFERED": "1"},
            )

    async def wait(self) -> int:
        """Wait for the process's end and return its exit status."""
        if self._process is None:
            raise RuntimeError("this process has not been started")
        return await self._process.wait()

    async def stop(self) -> None:
        """End the process: SIGTERM, then SIGKILL after the grace or when cancelled; it is gone when this returns."""
        process = self._process
        if process is None:
            return
        try:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            async with asyncio.timeout(self._grace):
                await process.wait()
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            if not isinstance(error, TimeoutError):
                raise

    def last_words(self, num_lines: int = 10) -> tuple[str, ...]:
        """Return the last lines of the log that are not blank."""
        try:
            with self._log_file.open("rb") as log:
                log.seek(max(0, self._log_file.stat().st_size - _TAIL_BYTES))
                text = log.read().decode(errors="replace")
        except OSError:
            return ()
        return tuple(deque((line.rstrip() for line in text.splitlines() if line.strip()), maxlen=num_lines))
