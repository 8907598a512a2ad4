"""A latency profile of a few seconds of measurement: what a replica plans with until it has learned more."""

from collections.abc import Sequence

from niyama_core.journal import IterationRecord
from niyama_core.profiles import LatencyProfile
from niyama_eval.iteration_records import IterationRecords

from niyama_agent.engine import EngineFacts
from niyama_agent.profile_store import ProfileKey
from niyama_agent.profiler import fit_curves

__all__ = ["quick_profile", "rows_of"]


def quick_profile(records: Sequence[IterationRecord], key: ProfileKey, *, facts: EngineFacts) -> LatencyProfile:
    """Return the sums of curves that are nearest to some iterations, as a profile of the machine they ran on."""
    law = fit_curves(rows_of(records))
    return LatencyProfile(
        name=key.name,
        model=key.model,
        gpu=key.gpu,
        law=law,
        predictor=law,
        kv_capacity_tokens=facts.kv_capacity_tokens,
        context_tokens=facts.context_tokens,
        source=f"{len(records)} iterations at the start of a replica; `niyama profile collect` measures better",
    )


def rows_of(records: Sequence[IterationRecord]) -> IterationRecords:
    """Return the iterations that ran as planned, as what their times are learned from."""
    return IterationRecords.timed(
        (record.plan.shape, record.seconds) for record in records if record.plan.was_run_by(record.executed)
    )
