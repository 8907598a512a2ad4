"""How `niyama demo` looks while it runs: one line a step, with a bar where it takes long."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from niyama_cli.closed_loop import Saturation

__all__ = ["DemoStage"]


class DemoStage:
    """Shows the steps of a demonstration; a context manager around it.

    Args:
        console: where.
    """

    def __init__(self, console: Console) -> None:
        """Prepare; nothing is shown yet."""
        # Within 80 columns, and room for the ^C that a terminal echoes: a line that breaks would be left there twice.
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._step: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def measuring(self) -> None:
        """Show that the capacity is being measured."""
        self._begin("measuring capacity", total=None)

    def measured(self, saturation: Saturation, qps: float) -> None:
        """Show the capacity and what will be sent."""
        self._end(f"{saturation.throughput:.1f} requests/s; sending {qps:.1f}/s")

    def running(self, policy: str, num_requests: int) -> None:
        """Show that requests are being sent."""
        self._begin(f"running {policy}", total=num_requests)

    def answered(self) -> None:
        """Show that one more answer has ended."""
        if self._step is not None:
            self._progress.advance(self._step)

    def ran(self, policy: str) -> None:
        """Show that all answers have ended."""
        self._end("every answer has ended")

    def _begin(self, what: str, *, total: int | None) -> None:
        self._step = self._progress.add_task(what, total=total, said="")

    def _end(self, said: str) -> None:
        if self._step is not None:
            total = next(task.total for task in self._progress.tasks if task.id == self._step) or 1
            self._progress.update(self._step, total=total, completed=total, said=said)
