"""Iteration records: one CSV row an iteration, what `niyama profile fit` makes latency profiles from.

The columns are the sums that an iteration's time depends on (`niyama_core.latency.IterationShape`), the number of
chunks, the token budget and the measured seconds.
"""

from niyama_core.journal import IterationRecord

from niyama_agent.record_file import RecordFile
from niyama_agent.settings import RotationSettings

__all__ = ["COLUMNS", "open_iteration_records"]

COLUMNS = (
    "prefill_tokens",
    "num_decodes",
    "decode_context_tokens",
    "prefill_context_tokens",
    "prefill_attention",
    "num_chunks",
    "token_budget",
    "seconds",
)


def open_iteration_records(settings: RotationSettings) -> RecordFile:
    """Return a file that takes iterations.

    Raises:
        OSError: it cannot be written.
    """
    return RecordFile(settings, header=",".join(COLUMNS), render=_row)


def _row(record: IterationRecord) -> str:
    plan, shape = record.plan, record.plan.shape
    values = (
        shape.prefill_tokens,
        shape.num_decodes,
        shape.decode_context_tokens,
        shape.prefill_context_tokens,
        shape.prefill_attention,
        len(plan.chunks),
        plan.token_budget,
        record.seconds,
    )
    return ",".join(map(repr, values))
