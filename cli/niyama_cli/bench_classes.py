"""Which classes a load asks for, and in which shares.

A router names its classes and does not define them. So what a class promises comes from a manifest, or else from the
cluster's own answers: every request that is accepted is told its promise in full.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from niyama_core.slo import Batch, Importance, QosClass, QosClasses, Slo
from niyama_eval.outcomes import RequestOutcome
from niyama_eval.settings import parse_mix

from niyama_cli.errors import CommandError

__all__ = ["ClassShares", "choose_classes", "with_learnt_promises"]

_UNKNOWN: Slo = Batch(math.inf)
"""Stands for what a class promises until the cluster has said it."""


@dataclass(frozen=True, slots=True)
class ClassShares:
    """Classes in order, and the weight of each; None weighs them alike."""

    classes: QosClasses
    mix: tuple[float, ...] | None


def choose_classes(
    wanted: Sequence[str], *, declared: QosClasses | None, served: Iterable[str], mix: str | None
) -> ClassShares:
    """Return the classes to ask for.

    Args:
        wanted: `name` or `name:weight`; empty for all.
        declared: the classes of a manifest, where one was given.
        served: names of the cluster's classes.
        mix: weights in the order of the classes, such as `1:1:2`.

    Raises:
        CommandError: a class is unknown, or the weights make no sense.
        WorkloadError: `mix` is no list of weights.
    """
    known = {c.name: c for c in declared} if declared else {name: QosClass(name, _UNKNOWN) for name in served}
    if not known:
        raise CommandError("the cluster names no classes: give a manifest with -f, or --class")
    if not wanted:
        return _shares(known.values(), None if mix is None else parse_mix(mix))
    if mix is not None:
        raise CommandError("--mix and --class both weigh the classes: give one of them", exit_code=2)
    weights = dict(_parse_weight(text) for text in wanted)
    unknown = [name for name in weights if name not in known]
    if unknown:
        raise CommandError(f"--class: {unknown[0]!r} is unknown: choose from {', '.join(known)}", exit_code=2)
    return _shares([known[name] for name in weights], tuple(weights.values()))


def with_learnt_promises(outcomes: Iterable[RequestOutcome]) -> list[RequestOutcome]:
    """Return the outcomes, those that were never accepted with what their class promised to all others."""
    outcomes = list(outcomes)
    learnt: dict[str, set[tuple[Slo, Importance]]] = {}
    for outcome in outcomes:
        if outcome.slo != _UNKNOWN:
            learnt.setdefault(outcome.qos_class, set()).add((outcome.slo, outcome.importance))
    return [_told(outcome, learnt.get(outcome.qos_class, set())) for outcome in outcomes]


def _told(outcome: RequestOutcome, promised: set[tuple[Slo, Importance]]) -> RequestOutcome:
    """Return an outcome with the one promise of its class, if it has none of its own and there is but one."""
    if outcome.slo != _UNKNOWN or len({slo for slo, _ in promised}) != 1:
        return outcome
    slo, importance = next(iter(promised))
    return replace(outcome, slo=slo, importance=importance if len(promised) == 1 else outcome.importance)


def _shares(classes: Iterable[QosClass], mix: tuple[float, ...] | None) -> ClassShares:
    by_name = {qos_class.name: qos_class for qos_class in classes}
    return ClassShares(QosClasses(by_name, next(iter(by_name))), mix)


def _parse_weight(text: str) -> tuple[str, float]:
    name, _, weight = text.partition(":")
    try:
        number = float(weight) if weight else 1.0
    except ValueError:
        number = -1.0
    if not name or not 0 < number < math.inf:
        raise CommandError(f"--class: {text!r}: write a name, or name:weight with a weight above 0", exit_code=2)
    return name, number
