"""`niyama sim run --records FILE`: the simulated iterations as CSV, in the form that agents write of real ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from niyama_core.iteration_csv import COLUMNS, iteration_row
from niyama_sim.engine import Iteration

from niyama_cli.errors import told_plainly

__all__ = ["recorded_in"]


@contextmanager
def recorded_in(path: Path | None) -> Iterator[Callable[[str, Iteration], None] | None]:
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
