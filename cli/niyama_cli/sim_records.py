"""`--records FILE` of `niyama sim run` and `profile collect`: iterations as CSV, in the form that agents write."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from niyama_core.iteration_csv import COLUMNS, iteration_row
from niyama_core.plan import IterationPlan

from niyama_cli.errors import told_plainly

__all__ = ["recorded_in"]


class _Ran(Protocol):
    """An iteration that was run, simulated or real."""

    @property
    def plan(self) -> IterationPlan:
        """What was planned."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...


@contextmanager
def recorded_in(path: Path | None) -> Iterator[Callable[[str, _Ran], None] | None]:
    """Yield what writes down every iteration that it is told of; None when there is no file to write to.

    Raises:
        CommandError: the file cannot be written.
    """
    if path is None:
        yield None
        return
    with told_plainly(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            file.write(",".join(COLUMNS) + "\n")
            yield lambda _, iteration: print(iteration_row(iteration.plan, iteration.seconds), file=file)
