"""Traces in the form in which their authors publish them: who asked when, for how much.

Two formats, told apart by their header line, plain or gzip:

- Azure LLM inference (2023 and 2024): `TIMESTAMP,ContextTokens,GeneratedTokens`, an instant a row;
- ShareGPT lengths (of the Sarathi-Serve artifact): `num_prefill_tokens,num_decode_tokens,...`, without times.

A trace is read whole and checked row by row, and kept as columns: the week-long traces have tens of millions of rows.
"""

import csv
import math
import zlib
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from niyama_eval.errors import TraceError
from niyama_eval.table_file import open_table

__all__ = ["MAX_TOKENS", "Trace", "TraceFormat", "TraceRequest", "read_trace"]

MAX_TOKENS = 262_144
"""The most prompt or output tokens a row may ask for, unless the caller allows more."""


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """One row of a trace.

    Attributes:
        arrival: seconds since the first row; None where the format has no times.
        num_prompt_tokens: tokens of the prompt.
        num_output_tokens: tokens of the answer.
    """

    arrival: float | None
    num_prompt_tokens: int
    num_output_tokens: int


@dataclass(frozen=True, slots=True)
class TraceFormat:
    """Which columns a format keeps its figures in; `time` is None for a format without times."""

    name: str
    time: str | None
    prompt: str
    output: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be there; others are passed over."""
        return (self.prompt, self.output) if self.time is None else (self.time, self.prompt, self.output)


_FORMATS = (
    TraceFormat("Azure LLM inference", "TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    TraceFormat("ShareGPT lengths", None, "num_prefill_tokens", "num_decode_tokens"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A trace, column by column, in the order of its rows.

    Attributes:
        name: the file's name without its endings.
        arrivals: seconds since the first row, never falling; None where the format has no times.
        num_prompt_tokens: tokens of each prompt.
        num_output_tokens: tokens of each answer.
    """

    name: str
    arrivals: NDArray[np.float64] | None
    num_prompt_tokens: NDArray[np.int64]
    num_output_tokens: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.num_prompt_tokens)

    def __iter__(self) -> Iterator[TraceRequest]:
        """Iterate over the requests in the order of the file."""
        times = [None] * len(self) if self.arrivals is None else self.arrivals.tolist()
        return map(TraceRequest, times, self.num_prompt_tokens.tolist(), self.num_output_tokens.tolist())


def read_trace(path: str | PathLike[str], *, max_rows: int | None = None, max_tokens: int = MAX_TOKENS) -> Trace:
    """Return the trace in the file at `path`, or its first `max_rows` rows.

    Raises:
        TraceError: the file is missing, is in no known format, or has a row that cannot be.
    """
    name = str(path)
    reader = _Reader(name, max_tokens)
    try:
        with open_table(Path(path)) as text:
            return reader.read(text, max_rows)
    except EOFError as error:
        raise reader.broken("the compressed file breaks off; fetch it again, whole") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise reader.broken(f"cannot be read ({reason}); name a CSV file, plain or gzip") from error
    except (UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise reader.broken("is no CSV text; name a CSV file in UTF-8, plain or gzip") from error


class _Reader:
    """Reads one file; knows its name and how far it has come, so that an error can say where."""

    def __init__(self, name: str, max_tokens: int) -> None:
        self._name = name
        self._max_tokens = max_tokens
        self._row = 1

    def read(self, text: IO[str], max_rows: int | None) -> Trace:
        rows = csv.reader(text)
        header = [column.strip() for column in next(rows, [])]
        trace_format = self._format(header)
        places = {column: header.index(column) for column in trace_format.columns}
        times, prompts, outputs = array("d"), array("q"), array("q")
        for cells in rows:
            if max_rows is not None and len(prompts) >= max_rows:
                break
            self._row = rows.line_num
            if not any(cells):
                continue
            *time, prompt, output = self._cells(cells, places)
            if time:
                times.append(self._time(time[0], times))
            prompts.append(self._tokens(prompt, trace_format.prompt))
            outputs.append(self._tokens(output, trace_format.output))
        if not prompts:
            raise TraceError(self._name, "has no rows below its header; name a trace with at least one request")
        arrivals = np.asarray(times) - times[0] if trace_format.time else None
        name = Path(self._name).name.split(".")[0]
        return Trace(name, arrivals, np.asarray(prompts, np.int64), np.asarray(outputs, np.int64))

    def _format(self, header: list[str]) -> TraceFormat:
        """Return the format whose columns are in the header."""
        for candidate in _FORMATS:
            if set(candidate.columns) <= set(header):
                return candidate
        nearest = max(_FORMATS, key=lambda f: len(set(f.columns) & set(header)))
        missing = [column for column in nearest.columns if column not in header]
        known = " or ".join(",".join(f.columns) for f in _FORMATS)
        raise TraceError(self._name, f"the header lacks it; the first line must name {known}", row=1, column=missing[0])

    def _cells(self, cells: list[str], places: Mapping[str, int]) -> list[str]:
        """Return the cells that matter, in the order of the format's columns."""
        for column, place in places.items():
            if place >= len(cells) or not cells[place].strip():
                raise self._error(column, "is empty; complete the row or remove it")
        return [cells[place].strip() for place in places.values()]

    def _tokens(self, text: str, column: str) -> int:
        """Return a count of tokens; a whole number that was written as a decimal is one."""
        try:
            count = int(text)
        except ValueError:
            count = self._whole(text, column)
        if count < 0:
            raise self._error(column, f"{count} is negative; a count of tokens is 0 or more")
        if count > self._max_tokens:
            raise self._error(column, f"{count} tokens are above the bound of {self._max_tokens}; remove the row")
        return count

    def _whole(self, text: str, column: str) -> int:
        try:
            number = float(text)
        except ValueError:
            raise self._error(column, f"{text!r} is no number; write a whole number of tokens") from None
        if not (math.isfinite(number) and number.is_integer()):
            raise self._error(column, f"{text!r} is no count; write a whole number of tokens")
        return int(number)

    def _time(self, text: str, before: "array[float]") -> float:
        """Return the instant in seconds of Unix time; without a zone it is UTC, as in the file of 2023."""
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise self._error("TIMESTAMP", f"{text!r} is no time; write it as 2023-11-16 18:17:03.9799600") from None
        seconds = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
        if before and seconds < before[-1]:
            raise self._error("TIMESTAMP", f"{text!r} is before the row above; sort the file by time")
        return seconds

    def broken(self, problem: str) -> TraceError:
        """Return the error of a file that cannot be read on, with the last row that could be, if any was."""
        return TraceError(self._name, problem, row=self._row if self._row > 1 else None)

    def _error(self, column: str, problem: str) -> TraceError:
        return TraceError(self._name, problem, row=self._row, column=column)
