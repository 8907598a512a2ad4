"""Goodput: what is measured at one rate, by which rules a replica carries that rate, and how long runs must be.

A *point* is one run at one rate, in the three figures that the rules look at. Rules are apart from points, so that one
run answers for all of them. docs/goodput.md states the definitions, and why they are such.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from niyama_core.slo import Interactive

from niyama_eval.outcomes import OutcomeState, Relegation, RequestOutcome
from niyama_eval.results import on_time_fraction

__all__ = [
    "MAX_LATE_TOKENS",
    "MAX_VIOLATIONS",
    "RULES",
    "Point",
    "Rule",
    "backlog_growth",
    "measure_point",
    "run_length",
]

MAX_VIOLATIONS = 0.01
"""The share of a class that may miss its promise, unless a rule is made with another."""

MAX_LATE_TOKENS = 0.001
"""The share of an interactive class's tokens that may be late, by the strict rule."""

MAX_BACKLOG_GROWTH = 0.01

_NUM_SAMPLES = 200
_OTHER_RUN_LENGTH = 42_000
_RUN_LENGTHS: Mapping[str, int] = MappingProxyType(
    {"azure-code-2024": 39_000, "azure-conv-2024": 42_000, "sharegpt": 18_000}
)


@dataclass(frozen=True, slots=True)
class Point:
    """What one run at one rate came to.

    Attributes:
        violations: share of each class that did not keep its promise, by the published rule.
        late_tokens: share of tokens that were late, of the worst interactive class; requests relegated before their
            first token are left out.
        backlog_growth: share of the work arriving late in the run that stays, as `backlog_growth` has it.
    """

    violations: Mapping[str, float]
    late_tokens: float
    backlog_growth: float

    @property
    def worst_violations(self) -> float:
        """The violations of the class that has most."""
        return max(self.violations.values(), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return asdict(self)

    @classmethod
    def mean(cls, points: Sequence["Point"]) -> "Point":
        """Return the mean of one or more points, class by class; a class counts where it had requests."""
        names = dict.fromkeys(name for point in points for name in point.violations)
        return cls(
            violations={name: fmean(p.violations[name] for p in points if name in p.violations) for name in names},
            late_tokens=fmean(point.late_tokens for point in points),
            backlog_growth=fmean(point.backlog_growth for point in points),
        )


class Rule(Protocol):
    """Says whether a point passes."""

    def __call__(self, point: Point, *, max_violations: float = MAX_VIOLATIONS) -> tuple[str, ...]:
        """Return why a point fails, in words; nothing when it passes."""
        ...


def _published(point: Point, *, max_violations: float = MAX_VIOLATIONS) -> tuple[str, ...]:
    """At most 1 % violations in every class, or whatever share is allowed."""
    late = (name for name, share in point.violations.items() if share > max_violations)
    return tuple(f"{name} violates {point.violations[name]:.2%}" for name in late)


def _strict(point: Point, *, max_violations: float = MAX_VIOLATIONS) -> tuple[str, ...]:
    """Likewise, at most 0.1 % late tokens, and no backlog that grows."""
    reasons = [*_published(point, max_violations=max_violations)]
    if point.late_tokens > MAX_LATE_TOKENS:
        reasons.append(f"{point.late_tokens:.2%} of interactive tokens are late")
    if point.backlog_growth > MAX_BACKLOG_GROWTH:
        reasons.append(f"{point.backlog_growth:.1%} of the arriving work stays")
    return tuple(reasons)


RULES: Mapping[str, Rule] = MappingProxyType({"published": _published, "strict": _strict})


def run_length(workloads: Sequence[str]) -> int:
    """Return how many requests a replica must be given: the published lengths, of a mixture the longest.

    Traffic for which none is published is given as many as the longest of them.
    """
    return max((_RUN_LENGTHS.get(name, _OTHER_RUN_LENGTH) for name in workloads), default=_OTHER_RUN_LENGTH)


def measure_point(outcomes: Sequence[RequestOutcome]) -> Point:
    """Return what a run came to."""
    by_class: dict[str, list[RequestOutcome]] = {}
    for outcome in outcomes:
        by_class.setdefault(outcome.qos_class, []).append(outcome)
    return Point(
        violations={name: 1.0 - (on_time_fraction(mine) or 0.0) for name, mine in sorted(by_class.items())},
        late_tokens=max(map(_late_tokens, by_class.values()), default=0.0),
        backlog_growth=backlog_growth(outcomes),
    )


def _late_tokens(outcomes: Iterable[RequestOutcome]) -> float:
    """Return the share of interactive tokens that were late; 0 of none."""
    counted = [
        outcome
        for outcome in outcomes
        if isinstance(outcome.slo, Interactive) and outcome.relegation is not Relegation.BEFORE_FIRST_TOKEN
    ]
    num_tokens = sum(len(outcome.emitted) for outcome in counted)
    return sum(outcome.num_late_tokens for outcome in counted) / num_tokens if num_tokens else 0.0


def backlog_growth(outcomes: Sequence[RequestOutcome]) -> float:
    """Return which share of the work that arrives in the second half of a run stays; negative when it is worked off.

    The backlog at an instant is the tokens (prompt and answer) of all requests that have arrived and not ended. It is
    sampled over the second half of the time in which requests arrive. Returned is the slope of the least-squares line
    through the samples, divided by the mean rate at which tokens arrived in that time: 0 when all that arrives is
    carried, 0.1 when the load is a tenth more than is carried. Requests refused at the door are no backlog.
    """
    accepted = [outcome for outcome in outcomes if outcome.state is not OutcomeState.REJECTED]
    if len(accepted) < 2:
        return 0.0
    arrivals = np.array([outcome.arrival for outcome in accepted])
    ends = np.array([_end(outcome) for outcome in accepted])
    tokens = np.array([float(outcome.num_prompt_tokens + outcome.num_output_tokens) for outcome in accepted])
    instants = np.linspace((arrivals.min() + arrivals.max()) / 2, arrivals.max(), _NUM_SAMPLES)
    arrived = _cumulative(arrivals, tokens, until=instants)
    seconds = instants[-1] - instants[0]
    if seconds <= 0:
        return 0.0
    slope = np.polyfit(instants - instants[0], arrived - _cumulative(ends, tokens, until=instants), 1)[0]
    return float(slope * seconds / max(arrived[-1] - arrived[0], 1.0))


_Array = np.ndarray[Any, np.dtype[np.float64]]


def _end(outcome: RequestOutcome) -> float:
    """Return the instant at which a request was no longer there; never, of one that was lost."""
    if outcome.state is OutcomeState.LOST or len(outcome.emitted) == 0:
        return float("inf")
    return outcome.arrival + outcome.emitted[-1]


def _cumulative(times: _Array, tokens: _Array, *, until: _Array) -> _Array:
    """Return the tokens of all that happened until each instant."""
    order = np.argsort(times)
    sums = np.concatenate([[0.0], np.cumsum(tokens[order])])
    return np.asarray(sums[np.searchsorted(times[order], until, side="right")], dtype=np.float64)
