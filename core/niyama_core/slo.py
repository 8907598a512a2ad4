"""Promises and the QoS classes that group them.

An `Slo` is what was promised in time: `Interactive` for a person who reads along, `Batch` for a job that needs the
whole answer. A `Promise` adds what happens when not everything can be on time. A `QosClass` is a named promise with
the bounds within which a request may deviate from it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "Batch",
    "Bounds",
    "Importance",
    "Interactive",
    "OnOverload",
    "Promise",
    "QosClass",
    "QosClasses",
    "Slo",
    "default_classes",
    "promised_seconds",
]


@dataclass(frozen=True, slots=True)
class Interactive:
    """First token within `ttft` seconds of arrival, every further one within `tbt` seconds."""

    ttft: float
    tbt: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole answer within `ttlt` seconds of arrival."""

    ttlt: float


Slo = Interactive | Batch


class Importance(Enum):
    """How a request fares when not everything can be on time."""

    HIGH = "high"
    LOW = "low"


class OnOverload(Enum):
    """What is done with a request when no replica can keep its promise."""

    QUEUE = "queue"
    RELEGATE = "relegate"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Promise:
    """What one request was promised, resolved in full."""

    qos_class: str
    slo: Slo
    importance: Importance = Importance.HIGH
    on_overload: OnOverload = OnOverload.RELEGATE


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a request may move a class's times, as factors of them."""

    tightest: float = 0.5
    loosest: float = 10.0


@dataclass(frozen=True, slots=True)
class QosClass:
    """A named promise. Not a Pod's `qosClass`, which is about memory."""

    name: str
    slo: Slo
    importance: Importance = Importance.HIGH
    on_overload: OnOverload = OnOverload.RELEGATE
    bounds: Bounds = Bounds()

    def promise(self) -> Promise:
        """Return the promise of a request that asks for nothing but this class."""
        return Promise(self.name, self.slo, self.importance, self.on_overload)


@dataclass(frozen=True, slots=True)
class QosClasses:
    """The classes of a cluster, in the order of its manifest, and which of them is the default."""

    by_name: Mapping[str, QosClass]
    default: str

    def __iter__(self) -> Iterator[QosClass]:
        """Iterate over the classes in the order of the manifest."""
        return iter(self.by_name.values())

    def strictest_interactive(self) -> QosClass | None:
        """Return the interactive class with the smallest TTFT, or None without one."""
        interactive = [c for c in self if isinstance(c.slo, Interactive)]
        return min(interactive, key=lambda c: promised_seconds(c.slo), default=None)

    def loosest_batch(self) -> QosClass | None:
        """Return the batch class with the largest TTLT, or None without one."""
        return max((c for c in self if isinstance(c.slo, Batch)), key=lambda c: promised_seconds(c.slo), default=None)


def promised_seconds(slo: Slo) -> float:
    """Return the time by which a request counts as on time: its TTFT, or its TTLT when it is a batch request."""
    match slo:
        case Interactive(ttft=ttft):
            return ttft
        case Batch(ttlt=ttlt):
            return ttlt


def default_classes() -> QosClasses:
    """Return the classes of a manifest that names none: the three of the published evaluation."""
    classes = (
        QosClass("chat", Interactive(ttft=6.0, tbt=0.05)),
        QosClass("summarise", Batch(ttlt=600.0)),
        QosClass("nightly", Batch(ttlt=1800.0), Importance.LOW),
    )
    return QosClasses({c.name: c for c in classes}, default="chat")
