"""From iteration records to a latency profile, with a report of its errors on records that it has not seen.

Every fifth run of records is held out. The predictor is the compiled forest of the others. The law, which simulations
and the paced engine obey, is compiled from all records, so that the two are never the same object; where records were
simulated, the law that they came from stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from niyama_core.profiles import LatencyProfile
from niyama_eval.iteration_records import IterationRecords
from niyama_eval.prediction_errors import (
    ErrorFigures,
    error_figures,
    errors_by_region,
    law_reference,
    predicted,
    predicted_while_learning,
    repeats,
)

from niyama_agent.profiler import fit_forest

__all__ = ["FitReport", "fit_profile"]


@dataclass(frozen=True, slots=True)
class FitReport:
    """How far predictions are off on held-out records.

    Attributes:
        num_records: all that were read.
        num_held_out: those of them that nothing was fitted to.
        num_stalls: those that were left out of the rest because they are far off all that are like them.
        reference: what predictions are compared with, in words.
        noise_p95: 95 in 100 measured times are within this of the reference.
        by_predictor: errors of the forest, of what it is compiled to, and of that when it learns from each iteration.
        by_region: errors of the compiled predictor by kind of iteration.
    """

    num_records: int
    num_held_out: int
    num_stalls: int
    reference: str
    noise_p95: float
    by_predictor: Mapping[str, ErrorFigures]
    by_region: Mapping[str, ErrorFigures]


def fit_profile(
    records: IterationRecords, like: LatencyProfile, *, simulated: bool = False
) -> tuple[LatencyProfile, FitReport]:
    """Return a profile fitted to records, and its errors.

    Args:
        records: of the iterations.
        like: where all else comes from: name, model, GPU, memory.
        simulated: whether the records were simulated by the law of `like`, which then stays and is compared with.
    """
    held_out = records.held_out()
    forest = fit_forest(records.where(~held_out))
    predictor = forest.compile()
    reference = law_reference(like.law, records) if simulated else repeats(records)
    tests, truth = records.where(held_out), reference.seconds[held_out]
    compiled = predicted(predictor, tests)
    figures = {
        "forest": error_figures(forest.predict(tests), truth),
        "compiled": error_figures(compiled, truth),
        "compiled, calibrated": error_figures(predicted_while_learning(predictor, records)[held_out], truth),
    }
    report = FitReport(
        num_records=len(records),
        num_held_out=len(tests),
        num_stalls=forest.num_stalls,
        reference=reference.name,
        noise_p95=reference.noise_p95,
        by_predictor={predictor: errors for predictor, errors in figures.items() if errors is not None},
        by_region=errors_by_region(tests, compiled, reference=truth),
    )
    law = like.law if simulated else fit_forest(records).compile()
    return replace(like, law=law, predictor=predictor, source=_source(records, like if simulated else None)), report


def _source(records: IterationRecords, simulated_by: LatencyProfile | None) -> str:
    if simulated_by is None:
        return f"law: a forest of {len(records):,} recorded iterations; predictor: a forest of four in five of them"
    return f"predictor: a forest of {len(records):,} iterations, simulated; the rest: {simulated_by.source}"
