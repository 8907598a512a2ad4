"""The figures of one run that comparisons and sweeps set against each other.

A *measure* (violations, late tokens, a percentile) is taken of *groups* of requests: all, by importance, by length of
prompt, by class. Figures are plain numbers by measure and group, so that runs can be averaged and subtracted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from niyama_core.slo import Interactive

from niyama_eval.outcomes import Relegation, RequestOutcome
from niyama_eval.prompt_split import is_long
from niyama_eval.results import late_token_fraction, on_time_fraction

__all__ = ["MEASURES", "Figures", "Measure", "run_figures"]

Figures = Mapping[str, Mapping[str, float]]
"""Figures by measure and group; a group that nothing can be taken from is absent."""

_Outcomes = Sequence[RequestOutcome]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is taken of a group of requests.

    Attributes:
        title: in words, as a table has it.
        is_share: whether it is a share from 0 to 1; else it is seconds.
        of: takes it; None where there is nothing to take it from.
        by_class_only: whether it means nothing for classes mixed together, whose promises differ.
    """

    title: str
    is_share: bool
    of: Callable[[_Outcomes], float | None]
    by_class_only: bool = False


def _violations(outcomes: _Outcomes) -> float | None:
    on_time = on_time_fraction(outcomes)
    return None if on_time is None else 1.0 - on_time


def _late_tokens(outcomes: _Outcomes) -> float | None:
    return late_token_fraction([outcome for outcome in outcomes if isinstance(outcome.slo, Interactive)])


def _relegated(outcomes: _Outcomes) -> float | None:
    return sum(o.relegation is not Relegation.NONE for o in outcomes) / len(outcomes) if outcomes else None


def _percentile(percent: float) -> Callable[[_Outcomes], float | None]:
    """Return what takes a percentile of the time that a promise is about: TTFT if interactive, TTLT if batch."""

    def take(outcomes: _Outcomes) -> float | None:
        times = [outcome.ttft if isinstance(outcome.slo, Interactive) else outcome.ttlt for outcome in outcomes]
        came = [time for time in times if time is not None]
        return float(np.percentile(came, percent)) if came else None

    return take


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "violations": Measure("violations", True, _violations),
        "late_tokens": Measure("late tokens", True, _late_tokens, by_class_only=True),
        "relegated": Measure("relegated", True, _relegated),
        "p50_s": Measure("median TTFT or TTLT", False, _percentile(50), by_class_only=True),
        "p99_s": Measure("p99 TTFT or TTLT", False, _percentile(99), by_class_only=True),
    }
)
"""What is taken, by the names that JSON has."""


def run_figures(outcomes: _Outcomes, *, class_names: Sequence[str] = ()) -> Figures:
    """Return the figures of a run; `class_names` fixes the order of the classes."""
    by_class = {name: [o for o in outcomes if o.qos_class == name] for name in _classes(outcomes, class_names)}
    of_class = {f"class {name}": mine for name, mine in by_class.items()}
    mixed = {
        "all": outcomes,
        "important": [o for o in outcomes if o.is_important],
        "low importance": [o for o in outcomes if not o.is_important],
        "long prompts": [o for o in outcomes if is_long(o)],
        "short prompts": [o for o in outcomes if not is_long(o)],
    }
    return {
        name: _taken(measure, of_class if measure.by_class_only else {**mixed, **of_class})
        for name, measure in MEASURES.items()
    }


def _classes(outcomes: _Outcomes, first: Sequence[str]) -> Sequence[str]:
    return list(dict.fromkeys([*first, *(outcome.qos_class for outcome in outcomes)]))


def _taken(measure: Measure, groups: Mapping[str, _Outcomes]) -> Mapping[str, float]:
    taken = {group: measure.of(mine) for group, mine in groups.items()}
    return {group: value for group, value in taken.items() if value is not None}
