"""What can be wrong with what a person asks of this package.

    EvaluationError
    ├── TableError      a CSV file is not what it should be
    │   ├── TraceError      a trace is not what its format promises
    │   └── RecordsError    iteration records that no profile can be made from
    └── WorkloadError   settings that no workload can have

All say where, what, and what to do about it, in one line that a command can print as it is.
"""

__all__ = ["EvaluationError", "RecordsError", "TableError", "TraceError", "WorkloadError"]


class EvaluationError(ValueError):
    """Something that a person gave to this package cannot be used."""


class TableError(EvaluationError):
    """A CSV file cannot be used.

    Attributes:
        path: the file as it was named.
        row: line of the file, counted from 1 with the header; None when the whole file is at fault.
        column: name of the column; None when no one column is at fault.
    """

    def __init__(self, path: str, problem: str, *, row: int | None = None, column: str | None = None) -> None:
        place = [path, *([f"row {row}"] if row is not None else []), *([f"column {column}"] if column else [])]
        super().__init__(f"{', '.join(place)}: {problem}")
        self.path = path
        self.row = row
        self.column = column


class TraceError(TableError):
    """A trace file cannot be read."""


class RecordsError(TableError):
    """Iteration records cannot be read, or are too few or too much alike to make a profile from."""


class WorkloadError(EvaluationError):
    """A workload cannot be made from these settings.

    Attributes:
        field: the setting at fault, by its name in `WorkloadSettings`.
        problem: what is wrong with it.
        fix: what to write instead.
    """

    def __init__(self, field: str, problem: str, *, fix: str) -> None:
        super().__init__(f"{field}: {problem}; {fix}")
        self.field = field
        self.problem = problem
        self.fix = fix
