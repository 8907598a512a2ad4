"""Decision logs, planned again: the pure replay of the core, fed from the files that a replica has written.

A log is a file and the older ones that were rotated out of it (`decisions.jsonl.1`, `.2`, ...). It may hold several
runs, one for each start of the replica. A run can be planned again from its first iteration on and as far as its
scheduler stayed the same; a report says how far that was.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, groupby, takewhile
from pathlib import Path

from niyama_core.journal import IterationRecord, JournalHeader
from niyama_core.json_records import JsonRecordError
from niyama_core.profiles import LatencyProfile
from niyama_core.replay import Difference, replay
from niyama_runtime.profile_file import ProfileError, find_profile

from niyama_sim.replica import build_planner

__all__ = ["LogError", "RunReport", "replay_log"]


class LogError(ValueError):
    """A file is no decision log, or one that this version cannot replay; the message names file and line."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What came of planning one run again.

    Attributes:
        header: what its planner was made of.
        num_iterations: iterations that were planned again.
        differences: what the last of them decided otherwise; empty when all were decided alike.
        stopped: why the replay ended before the run did; empty when it went to the end.
    """

    header: JournalHeader
    num_iterations: int
    differences: tuple[Difference, ...]
    stopped: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """A record, and the header of the file it is in."""

    header: JournalHeader
    record: IterationRecord


def replay_log(path: Path, *, profile: LatencyProfile | None = None) -> Iterator[RunReport]:
    """Yield what comes of each run in a log, the oldest first.

    Args:
        path: the newest file; those that were rotated out of it are found by their names.
        profile: to plan with, whatever the log names.

    Raises:
        OSError: a file cannot be read.
        LogError: a file is no decision log, or of a profile that is not known here.
        ReplayError: a record is missing, or tells of a request that is not live.
    """
    files = [*reversed(list(takewhile(Path.exists, _rotated(path)))), path]
    entries = (entry for file in files for entry in _read(file))
    for _, run in groupby(_by_run(entries), key=lambda numbered: numbered[0]):
        yield _replay_run((entry for _, entry in run), profile)


def _rotated(path: Path) -> Iterator[Path]:
    """Yield the names of the files that a log was rotated to, the newest first."""
    return (path.with_name(f"{path.name}.{number}") for number in count(1))


def _by_run(entries: Iterator[_Entry]) -> Iterator[tuple[int, _Entry]]:
    """Yield entries with the number of their run, which begins with iteration 0."""
    run = 0
    for entry in entries:
        run += entry.record.index == 0
        yield run, entry


def _replay_run(entries: Iterator[_Entry], profile: LatencyProfile | None) -> RunReport:
    run = _Run(entries)
    if run.first_index != 0:
        stopped = f"it begins at iteration {run.first_index}: what was before has been rotated away"
        return RunReport(run.header, 0, (), stopped)
    header = run.header
    planner = build_planner(header.scheduler, profile or _profile_of(header), speed=header.speed)
    differences = tuple(replay(run, planner))
    return RunReport(header, run.num_read, differences, run.stopped)


def _profile_of(header: JournalHeader) -> LatencyProfile:
    try:
        return find_profile(header.profile)
    except ProfileError as error:
        raise LogError(f"the log's profile: {error}; or say --profile") from error


class _Run:
    """The records of one run as far as its scheduler stayed the same, read once.

    Args:
        entries: of the run; at least one.
    """

    def __init__(self, entries: Iterator[_Entry]) -> None:
        first = next(entries)
        self.header = first.header
        self.first_index = first.record.index
        self.num_read = 0
        self.stopped = ""
        self._first = first
        self._rest = entries

    def __iter__(self) -> Iterator[IterationRecord]:
        self.num_read += 1
        yield self._first.record
        for entry in self._rest:
            if entry.header.scheduler != self.header.scheduler:
                self.stopped = f"its scheduler was set otherwise about iteration {entry.record.index}"
                return
            self.num_read += 1
            yield entry.record


def _read(path: Path) -> Iterator[_Entry]:
    """Yield the records of one file. A last line that was not written to its end is passed over."""
    header: JournalHeader | None = None
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                value = _object(line)
                if header is None:
                    header = JournalHeader.from_json_dict(value)
                else:
                    yield _Entry(header, IterationRecord.from_json_dict(value))
            except ValueError as error:
                if not line.endswith("\n") and isinstance(error, json.JSONDecodeError):
                    return
                raise LogError(f"{path}, line {number}: {_problem(error)}") from error


def _object(line: str) -> Mapping[str, object]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise JsonRecordError(f"must be an object, not {line.strip()!r:.80}")
    return value


def _problem(error: ValueError) -> str:
    return f"is no JSON: {error}" if isinstance(error, json.JSONDecodeError) else str(error)
