"""What every table has in common: a name, a page, and how its figures come about."""

from pathlib import Path
from typing import Protocol

from bench.results.store import Store

__all__ = ["Table"]


class Table(Protocol):
    """One table: a JSON of figures and a page that shows them."""

    @property
    def name(self) -> str:
        """Of the files."""
        ...

    def compute(self, store: Store, *, jobs: int) -> None:
        """Compute whatever is not there yet, `jobs` simulations at a time."""
        ...

    def page(self, store: Store) -> str:
        """Return the page in Markdown."""
        ...

    def draw(self, store: Store, folder: Path) -> None:
        """Draw what is there as `<name>.png`, if there is something."""
        ...
