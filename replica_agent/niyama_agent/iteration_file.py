"""The file of iteration records that an agent writes: `niyama_core.iteration_csv` in a rotating file."""

from niyama_core.iteration_csv import COLUMNS, iteration_row
from niyama_core.journal import IterationRecord

from niyama_agent.record_file import RecordFile
from niyama_agent.settings import RotationSettings

__all__ = ["open_iteration_records"]


def open_iteration_records(settings: RotationSettings) -> RecordFile:
    """Return a file that takes iterations.

    Raises:
        OSError: it cannot be written.
    """
    return RecordFile(settings, header=",".join(COLUMNS), render=_row)


def _row(record: IterationRecord) -> str:
    return iteration_row(record.plan, record.seconds)
