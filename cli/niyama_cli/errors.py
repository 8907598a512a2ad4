"""How a command fails: one line for the person who typed it, and an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["INTERRUPTED", "CommandError", "told_of_interruption", "told_plainly"]

INTERRUPTED = 130
"""Exit code of what Ctrl-C has ended."""


class CommandError(Exception):
    """A command cannot do what it was asked.

    Attributes:
        exit_code: of the process; 1 when the request failed, 2 when it was put wrongly.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def told_plainly(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of these kinds, whose messages are written for people, into the failure of the command."""
    try:
        yield
    except kinds as error:
        raise CommandError(str(error) or type(error).__name__) from error


@contextmanager
def told_of_interruption() -> Iterator[None]:
    """Let Ctrl-C in a measurement that has no figures yet be told in a line, where it would else be silent.

    Raises:
        CommandError: in place of KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError("interrupted: nothing measured", exit_code=INTERRUPTED) from None
