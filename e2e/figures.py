"""The figures that scenarios are there for: kept as they come, told at the end."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Figures"]


@dataclass(frozen=True, slots=True)
class Figures:
    """A file with a line for each figure."""

    file: Path

    def add(self, name: str, text: str) -> None:
        """Keep a figure."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as lines:
            lines.write(f"{name}: {text}\n")

    def lines(self) -> list[str]:
        """Return what has been kept."""
        return self.file.read_text().splitlines() if self.file.exists() else []
