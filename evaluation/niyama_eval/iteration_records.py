"""Iteration records read back from CSV (`niyama_core.iteration_csv`), every row checked, kept as columns.

The files may be those of agents, rotated ones included, of `niyama sim run --records`, or of a profiling run of one's
own: only the columns that a time depends on must be there, in any order.
"""

import csv
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from niyama_core.latency import IterationShape
from numpy.typing import NDArray

from niyama_eval.errors import RecordsError
from niyama_eval.table_file import open_table

__all__ = ["LEAST_RECORDS", "IterationRecords", "read_records"]

LEAST_RECORDS = 500
"""Below this a held-out fifth says nothing of a 99th percentile."""

_LEAST_OF_A_KIND = 50
_COUNTS = ("prefill_tokens", "num_decodes", "decode_context_tokens", "prefill_context_tokens")
_NEEDED = (*_COUNTS, "prefill_attention", "seconds")
_MOST = 1e15
_MOST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class IterationRecords:
    """Iterations, column by column, in the order of the rows; `IterationShape` says what each figure is."""

    prefill_tokens: NDArray[np.float64]
    num_decodes: NDArray[np.float64]
    decode_context_tokens: NDArray[np.float64]
    prefill_context_tokens: NDArray[np.float64]
    prefill_attention: NDArray[np.float64]
    seconds: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Sequence[tuple[float, ...]]) -> "IterationRecords":
        """Return the records whose rows have the columns in the order of the attributes."""
        return cls(*np.asarray(rows, dtype=np.float64).reshape(-1, len(_NEEDED)).T)

    @classmethod
    def timed(cls, iterations: Iterable[tuple[IterationShape, float]]) -> "IterationRecords":
        """Return iterations of these shapes that took these seconds."""
        return cls.of(
            [
                (
                    shape.prefill_tokens,
                    shape.num_decodes,
                    shape.decode_context_tokens,
                    shape.prefill_context_tokens,
                    shape.prefill_attention,
                    seconds,
                )
                for shape, seconds in iterations
            ]
        )

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.seconds)

    @property
    def num_tokens(self) -> NDArray[np.float64]:
        """Tokens that each iteration computes."""
        return self.prefill_tokens + self.num_decodes

    def where(self, mask: NDArray[np.bool_]) -> "IterationRecords":
        """Return those records at which the mask is true."""
        return IterationRecords(*(column[mask] for column in self._columns()))

    def held_out(self) -> NDArray[np.bool_]:
        """Return which records to test with and not to fit to: every fifth run of a hundred.

        Neighbours are much alike, so that single records among those fitted would be known already.
        """
        run = min(100, len(self) // 50)
        held_out: NDArray[np.bool_] = (np.arange(len(self)) // max(run, 1)) % 5 == 2
        return held_out

    def shapes(self) -> Iterator[IterationShape]:
        """Iterate over the shapes of the iterations."""
        *counts, attention, _ = self._columns()
        whole = (column.astype(np.int64).tolist() for column in counts)
        return map(IterationShape, *whole, attention.tolist())

    def _columns(self) -> tuple[NDArray[np.float64], ...]:
        return (
            self.prefill_tokens,
            self.num_decodes,
            self.decode_context_tokens,
            self.prefill_context_tokens,
            self.prefill_attention,
            self.seconds,
        )


def read_records(paths: Sequence[Path]) -> IterationRecords:
    """Return the records of all files, in the order in which the files are named.

    Raises:
        RecordsError: a file is missing, lacks a column or has a row that cannot be, or there are too few of a kind.
    """
    rows = [row for path in paths for row in _read_file(path)]
    records = IterationRecords.of(rows)
    names = ", ".join(map(str, paths))
    if len(records) < LEAST_RECORDS:
        raise RecordsError(names, f"{len(records)} records are too few; give {LEAST_RECORDS} or more")
    prefills, decodes = (int(np.count_nonzero(c)) for c in (records.prefill_tokens, records.num_decodes))
    for num, done in ((prefills, "compute prompts"), (decodes, "decode")):
        if num < _LEAST_OF_A_KIND:
            raise RecordsError(
                names, f"{num} of {len(records)} iterations {done}; give {_LEAST_OF_A_KIND} or more such iterations"
            )
    return records


def _read_file(path: Path) -> list[tuple[float, ...]]:
    reader = _Reader(str(path))
    try:
        with open_table(path) as text:
            return reader.read(text)
    except EOFError as error:
        raise RecordsError(str(path), "the compressed file breaks off; fetch it again, whole") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise RecordsError(str(path), f"cannot be read ({reason}); name a CSV file, plain or gzip") from error
    except (UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise RecordsError(str(path), "is no CSV text; name a CSV file in UTF-8, plain or gzip") from error


class _Reader:
    """Reads one file; knows its name and how far it has come, so that an error can say where."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._row = 1

    def read(self, text: IO[str]) -> list[tuple[float, ...]]:
        lines = csv.reader(text)
        header = [column.strip() for column in next(lines, [])]
        for column in _NEEDED:
            if column not in header:
                raise self._error(column, f"the header lacks it; the first line must name {','.join(_NEEDED)}")
        places = [header.index(column) for column in _NEEDED]
        rows = []
        for cells in lines:
            self._row = lines.line_num
            if any(cells):
                rows.append(self._checked(cells, places))
        if not rows:
            raise RecordsError(self._name, "has no rows below its header; let iterations be recorded first")
        return rows

    def _checked(self, cells: list[str], places: list[int]) -> tuple[float, ...]:
        row = tuple(
            self._number(cells[place] if place < len(cells) else "", column)
            for column, place in zip(_NEEDED, places, strict=True)
        )
        prefill_tokens, num_decodes, *_, seconds = row
        if prefill_tokens + num_decodes == 0:
            raise self._error("prefill_tokens", "an iteration that computes nothing; remove the row")
        if not 0 < seconds <= _MOST_SECONDS:
            raise self._error("seconds", f"{seconds:g} s is no time of an iteration; it is above 0, up to an hour")
        return row

    def _number(self, cell: str, column: str) -> float:
        text = cell.strip()
        if not text:
            raise self._error(column, "is empty; complete the row or remove it")
        try:
            number = float(text)
        except ValueError:
            raise self._error(column, f"{text!r} is no number") from None
        if not math.isfinite(number) or number < 0 or number > _MOST:
            raise self._error(column, f"{text} cannot be: give a number from 0 to {_MOST:g}")
        if column in _COUNTS and not number.is_integer():
            raise self._error(column, f"{text} is no count; give a whole number")
        return number

    def _error(self, column: str, problem: str) -> RecordsError:
        return RecordsError(self._name, problem, row=self._row, column=column)
