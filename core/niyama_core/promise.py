"""How a promise is found: what the client asks for, merged with the classes of the cluster.

Sources are asked in order (request message, metadata, ...) and each field is taken from the first that says it. A
class that is named gives what the values leave open, and bounds how far they may go. Bare values belong to the
default class, or, when they are of the other kind, to the class of their kind that is nearest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from niyama_core.slo import Batch, Importance, Interactive, Promise, QosClass, QosClasses, Slo, promised_seconds
from niyama_core.units import format_duration

__all__ = ["CUSTOM_CLASS", "InvalidQosError", "QosAsk", "Violation", "merge_asks", "resolve_promise"]

CUSTOM_CLASS = "custom"
_DEFAULT_TBT = 0.1
_MOST_SECONDS = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class QosAsk:
    """What one source says of a request's promise; seconds, None where it says nothing."""

    qos_class: str | None = None
    ttft: float | None = None
    tbt: float | None = None
    ttlt: float | None = None
    importance: Importance | None = None

    @property
    def is_bare(self) -> bool:
        """Whether it gives times without naming a class."""
        return self.qos_class is None and (self.ttft, self.tbt, self.ttlt) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Violation:
    """A field that is wrong, and a sentence with what is allowed."""

    field: str
    description: str


class InvalidQosError(ValueError):
    """What was asked for cannot be promised by these classes; `violations` says why."""

    def __init__(self, *violations: Violation) -> None:
        """Keep the violations."""
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))
        self.violations = violations


def merge_asks(asks: Sequence[QosAsk]) -> QosAsk:
    """Return each field from the first source that says it."""
    return QosAsk(
        qos_class=next((a.qos_class for a in asks if a.qos_class is not None), None),
        ttft=next((a.ttft for a in asks if a.ttft is not None), None),
        tbt=next((a.tbt for a in asks if a.tbt is not None), None),
        ttlt=next((a.ttlt for a in asks if a.ttlt is not None), None),
        importance=next((a.importance for a in asks if a.importance is not None), None),
    )


def resolve_promise(ask: QosAsk, classes: QosClasses) -> Promise:
    """Return the promise in full.

    Raises:
        InvalidQosError: the class is unknown, the values contradict one another, or they are out of bounds.
    """
    violations = [*_check_values(ask), *_check_name(ask, classes)]
    if violations:
        raise InvalidQosError(*violations)
    qos_class = _class_of(ask, classes)
    slo = _override(qos_class, ask)
    _check_bounds(qos_class, slo)
    importance = ask.importance or qos_class.importance
    return Promise(qos_class.name, slo, importance, qos_class.on_overload)


def _check_values(ask: QosAsk) -> list[Violation]:
    """Return what no class could make sense of."""
    violations = [
        Violation(f"qos.{field}", f"{value!r} seconds: must be above zero and at most {format_duration(_MOST_SECONDS)}")
        for field, value in (("ttft", ask.ttft), ("tbt", ask.tbt), ("ttlt", ask.ttlt))
        if value is not None and not 0 < value <= _MOST_SECONDS
    ]
    if ask.ttlt is not None and (ask.ttft is not None or ask.tbt is not None):
        violations.append(
            Violation("qos.ttlt", "cannot stand beside ttft or tbt: promise the stream or the whole answer")
        )
    if ask.is_bare and ask.tbt is not None and ask.ttft is None and ask.ttlt is None:
        violations.append(Violation("qos.tbt", "needs a ttft, or a class that gives one"))
    return violations


def _check_name(ask: QosAsk, classes: QosClasses) -> list[Violation]:
    """Return what is wrong with the name of the class, if one is named."""
    if ask.qos_class is None or ask.qos_class in classes.by_name:
        return []
    return [Violation("qos.qos_class", f"{ask.qos_class!r} is unknown: choose one of {', '.join(classes.by_name)}")]


def _class_of(ask: QosAsk, classes: QosClasses) -> QosClass:
    """Return the class that is named, or else the one that the values belong to."""
    if ask.qos_class is not None:
        return classes.by_name[ask.qos_class]
    default = classes.by_name[classes.default]
    wanted: Slo | None = None
    if ask.ttlt is not None:
        wanted = Batch(ask.ttlt)
    elif ask.ttft is not None:
        wanted = Interactive(ask.ttft, ask.tbt or _DEFAULT_TBT)
    if wanted is None or type(wanted) is type(default.slo):
        return default
    return _nearest(wanted, classes) or QosClass(CUSTOM_CLASS, wanted, default.importance, default.on_overload)


def _nearest(wanted: Slo, classes: QosClasses) -> QosClass | None:
    """Return the class of the same kind whose time differs by the smallest factor."""
    same_kind = [c for c in classes if type(c.slo) is type(wanted)]
    return min(same_kind, key=lambda c: abs(math.log(promised_seconds(c.slo) / promised_seconds(wanted))), default=None)


def _override(qos_class: QosClass, ask: QosAsk) -> Slo:
    """Return the class's times with the values put in."""
    match qos_class.slo:
        case Interactive(ttft=ttft, tbt=tbt):
            if ask.ttlt is not None:
                raise InvalidQosError(_wrong_kind("qos.ttlt", qos_class, kind="interactive, it has ttft and tbt"))
            return Interactive(ask.ttft or ttft, ask.tbt or tbt)
        case Batch(ttlt=ttlt):
            if ask.ttft is not None or ask.tbt is not None:
                field = "qos.ttft" if ask.ttft is not None else "qos.tbt"
                raise InvalidQosError(_wrong_kind(field, qos_class, kind="batch, it has ttlt"))
            return Batch(ask.ttlt or ttlt)


def _wrong_kind(field: str, qos_class: QosClass, *, kind: str) -> Violation:
    return Violation(field, f"does not apply: class {qos_class.name!r} is {kind}")


def _check_bounds(qos_class: QosClass, slo: Slo) -> None:
    """Refuse times that leave the class's bounds."""
    violations = [
        violation
        for field, asked, own in _times(slo, qos_class.slo)
        if (violation := _out_of_bounds(f"qos.{field}", asked, own=own, qos_class=qos_class)) is not None
    ]
    if violations:
        raise InvalidQosError(*violations)


def _times(asked: Slo, own: Slo) -> tuple[tuple[str, float, float], ...]:
    match asked, own:
        case Interactive(), Interactive():
            return ("ttft", asked.ttft, own.ttft), ("tbt", asked.tbt, own.tbt)
        case Batch(), Batch():
            return (("ttlt", asked.ttlt, own.ttlt),)
        case _:
            raise AssertionError("an override keeps the kind of its class")


def _out_of_bounds(field: str, asked: float, *, own: float, qos_class: QosClass) -> Violation | None:
    least, most = own * qos_class.bounds.tightest, own * qos_class.bounds.loosest
    if least * (1 - 1e-9) <= asked <= most * (1 + 1e-9):
        return None
    allowed = f"class {qos_class.name!r} allows {format_duration(least)} to {format_duration(most)}"
    return Violation(field, f"{format_duration(asked)} is out of bounds: {allowed}")
