"""CSV files as people have them: plain or gzip, told apart by their first bytes, whatever they are called."""

import gzip
from pathlib import Path
from typing import IO

__all__ = ["open_table"]

_GZIP_MAGIC = b"\x1f\x8b"


def open_table(path: Path) -> IO[str]:
    """Open a plain or compressed CSV file as text.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP_MAGIC
    opener = gzip.open if compressed else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")
