"""Runs the programs that a cluster is handled with; one that fails says what it printed.

Apart from what kubectl, helm or a node mean, so that all of them fail in the same way: a
test's traceback then shows the command and its last words, not an exit status alone.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["ROOT", "ProgramError", "run"]

ROOT = Path(__file__).parents[1]
LAST_CHARACTERS = 4000


class ProgramError(AssertionError):
    """A program ended with another status than 0."""

    def __init__(self, command: Sequence[str | Path], *, status: int, output: str) -> None:
        super().__init__(f"{' '.join(map(str, command))}\nended with {status}\n{output[-LAST_CHARACTERS:]}")
        self.status = status
        self.output = output


def run(
    *command: str | Path, stdin: str | None = None, seconds: float = 60, environment: Mapping[str, str] | None = None
) -> str:
    """Run a program in the project's root and return its standard output.

    Raises `ProgramError` when it fails, and `subprocess.TimeoutExpired` after so many seconds.
    """
    done = subprocess.run(
        list(map(str, command)),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        raise ProgramError(command, status=done.returncode, output=done.stdout + done.stderr)
    return done.stdout
