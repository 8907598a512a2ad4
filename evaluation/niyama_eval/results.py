"""What a run says of a policy: the figures of `results.json`, alike for demo, bench and simulator.

Fractions are from 0 to 1. A percentile is linear between the two nearest values (numpy's default). Whatever has no
requests to be taken from is None, `null` in JSON: nothing on time of nothing is neither good nor bad.
"""

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from niyama_core.slo import Slo

from niyama_eval.outcomes import OutcomeState, Relegation, RequestOutcome

__all__ = [
    "ClassResult",
    "PolicyResult",
    "late_token_fraction",
    "on_time_fraction",
    "results_document",
    "slos_of",
    "summarise",
    "versions",
    "write_results",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """The figures of one class.

    Attributes:
        num_requests: requests of the class, in whatever state they ended.
        on_time: share of them that kept the promise, by the published rule.
        late_token_fraction: share of tokens emitted after they were due; requests relegated before their first token
            are left out, those relegated later are not.
        num_relegated: requests that were relegated, before or after their first token.
        ttft_p50_s: of the requests that have a first token.
        ttft_p95_s: likewise.
        tbt_p99_s: of all gaps between two tokens of one request.
        largest_gap_p99_s: of each request's largest gap.
        ttlt_p50_s: of the completed requests.
        ttlt_p95_s: likewise.
    """

    num_requests: int
    on_time: float | None
    late_token_fraction: float | None
    num_relegated: int
    ttft_p50_s: float | None
    ttft_p95_s: float | None
    tbt_p99_s: float | None
    largest_gap_p99_s: float | None
    ttlt_p50_s: float | None
    ttlt_p95_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult:
    """The figures of one run, with those of its classes by name."""

    num_requests: int
    num_completed: int
    num_rejected: int
    num_failed: int
    num_lost: int
    num_relegated: int
    num_relegated_after_first_token: int
    num_moved: int
    on_time: float | None
    important_on_time: float | None
    low_importance_on_time: float | None
    by_class: Mapping[str, ClassResult]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as `results.json` has them."""
        return {**asdict(self), "by_class": {name: asdict(result) for name, result in self.by_class.items()}}


def summarise(outcomes: Iterable[RequestOutcome], *, class_names: Iterable[str] = ()) -> PolicyResult:
    """Return the figures of a run.

    `class_names` fixes the order of the classes, and names those that may have no requests; others follow as they
    come.
    """
    outcomes = tuple(outcomes)
    by_class: dict[str, list[RequestOutcome]] = {name: [] for name in class_names}
    for outcome in outcomes:
        by_class.setdefault(outcome.qos_class, []).append(outcome)
    states = [outcome.state for outcome in outcomes]
    relegations = [outcome.relegation for outcome in outcomes]
    return PolicyResult(
        num_requests=len(outcomes),
        num_completed=states.count(OutcomeState.COMPLETED),
        num_rejected=states.count(OutcomeState.REJECTED),
        num_failed=states.count(OutcomeState.FAILED),
        num_lost=states.count(OutcomeState.LOST),
        num_relegated=len(outcomes) - relegations.count(Relegation.NONE),
        num_relegated_after_first_token=relegations.count(Relegation.AFTER_FIRST_TOKEN),
        num_moved=sum(outcome.num_moves > 0 for outcome in outcomes),
        on_time=on_time_fraction(outcomes),
        important_on_time=on_time_fraction(o for o in outcomes if o.is_important),
        low_importance_on_time=on_time_fraction(o for o in outcomes if not o.is_important),
        by_class={name: _summarise_class(mine) for name, mine in by_class.items()},
    )


def on_time_fraction(outcomes: Iterable[RequestOutcome]) -> float | None:
    """Return the share of requests that kept their promise; None of none."""
    kept = [outcome.is_on_time for outcome in outcomes]
    return sum(kept) / len(kept) if kept else None


def _summarise_class(outcomes: Sequence[RequestOutcome]) -> ClassResult:
    ttfts = [outcome.ttft for outcome in outcomes if outcome.ttft is not None]
    ttlts = [outcome.ttlt for outcome in outcomes if outcome.ttlt is not None]
    gaps = [np.diff(outcome.emitted) for outcome in outcomes if len(outcome.emitted) > 1]
    return ClassResult(
        num_requests=len(outcomes),
        on_time=on_time_fraction(outcomes),
        late_token_fraction=late_token_fraction(outcomes),
        num_relegated=sum(outcome.relegation is not Relegation.NONE for outcome in outcomes),
        ttft_p50_s=_percentile(ttfts, 50),
        ttft_p95_s=_percentile(ttfts, 95),
        tbt_p99_s=_percentile(np.concatenate(gaps) if gaps else (), 99),
        largest_gap_p99_s=_percentile([float(gap.max()) for gap in gaps], 99),
        ttlt_p50_s=_percentile(ttlts, 50),
        ttlt_p95_s=_percentile(ttlts, 95),
    )


def late_token_fraction(outcomes: Iterable[RequestOutcome]) -> float | None:
    """Return the share of tokens that were late; requests relegated before their first token are left out."""
    counted = [o for o in outcomes if o.relegation is not Relegation.BEFORE_FIRST_TOKEN]
    num_tokens = sum(len(outcome.emitted) for outcome in counted)
    return sum(outcome.num_late_tokens for outcome in counted) / num_tokens if num_tokens else None


def _percentile(values: Sequence[float] | np.ndarray[Any, np.dtype[np.float64]], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if len(values) else None


def slos_of(outcomes: Iterable[RequestOutcome]) -> dict[str, Slo]:
    """Return the promise of each class whose requests were all promised the same."""
    promised: dict[str, set[Slo]] = {}
    for outcome in outcomes:
        promised.setdefault(outcome.qos_class, set()).add(outcome.slo)
    return {name: next(iter(slos)) for name, slos in promised.items() if len(slos) == 1}


def versions() -> dict[str, str]:
    """Return the versions that a figure depends on, for the settings beside it."""
    names = ("niyama", "numpy")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def results_document(policies: Mapping[str, PolicyResult], settings: Mapping[str, object]) -> dict[str, Any]:
    """Return the content of `results.json`: the policies by name, and the settings beside them."""
    return {**settings, "policies": {name: result.to_json() for name, result in policies.items()}}


def write_results(
    path: str | PathLike[str], policies: Mapping[str, PolicyResult], *, settings: Mapping[str, object]
) -> None:
    """Write `results.json`; a setting that JSON does not know is written as its text."""
    document = results_document(policies, settings)
    text = json.dumps(document, indent=2, allow_nan=False, default=str)
    Path(path).write_text(text + "\n", encoding="utf-8")
