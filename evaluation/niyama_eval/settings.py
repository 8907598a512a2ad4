"""What a person can ask of a workload, checked before anything is drawn."""

import math
from dataclasses import dataclass, field

from niyama_eval.arrivals import Arrivals, Diurnal, Poisson, Replayed
from niyama_eval.errors import WorkloadError

__all__ = ["MAX_REQUESTS", "WorkloadSettings", "parse_mix"]

MAX_REQUESTS = 20_000_000
"""The most requests of one workload, which is held in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSettings:
    """A workload, as the options of the command line name it.

    Attributes:
        workloads: names of shipped workloads and paths of trace files, mixed together.
        shares: weight of each of them among the requests; None weighs them alike. Replayed traces weigh what they
            weigh.
        arrivals: when requests come.
        qps: mean requests per second of all together; None leaves the rate that traces and diurnal arrivals have.
        num_requests: how many.
        duration: seconds in which requests arrive. At most one of the two; a replay without either goes once through.
        mix: weight of each class, in the order of the classes; None weighs them alike.
        low_importance: share of every class that is unimportant; None leaves each class the importance it has.
        context_tokens: the model's context; longer requests are cut to it. None cuts nothing.

    Raises:
        WorkloadError: the settings contradict each other, or one of them cannot be.
    """

    workloads: tuple[str, ...]
    shares: tuple[float, ...] | None = None
    arrivals: Arrivals = field(default_factory=Poisson)
    qps: float | None = None
    num_requests: int | None = None
    duration: float | None = None
    mix: tuple[float, ...] | None = None
    low_importance: float | None = None
    context_tokens: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not self.workloads:
            raise WorkloadError("workload", "nothing is named", fix="name at least one, for example azure-code-2024")
        _check_positive("qps", self.qps, fix="give a rate above 0, for example 3.5 requests per second")
        _check_positive("num_requests", self.num_requests, fix="give 1 or more")
        _check_positive("duration", self.duration, fix="give a time above 0, for example 60 s")
        _check_context(self.context_tokens)
        _check_weights("mix", self.mix)
        _check_weights("shares", self.shares)
        if self.shares is not None and len(self.shares) != len(self.workloads):
            problem = f"{len(self.shares)} weights for {len(self.workloads)} workloads"
            raise WorkloadError("shares", problem, fix="give one weight for each workload")
        if self.low_importance is not None and not 0 <= self.low_importance <= 1:
            raise WorkloadError("low_importance", f"{self.low_importance} is no share", fix="give a number from 0 to 1")
        self._check_length()
        _check_arrivals(self.arrivals)

    def _check_length(self) -> None:
        if self.num_requests is not None and self.duration is not None:
            raise WorkloadError("duration", "both it and num_requests are given", fix="give one of the two")
        if isinstance(self.arrivals, Poisson) and self.qps is None:
            raise WorkloadError("qps", "is not given", fix="give the rate of the Poisson arrivals")
        if not isinstance(self.arrivals, Replayed) and self.num_requests is None and self.duration is None:
            raise WorkloadError("num_requests", "the run has no end", fix="give num_requests or duration")
        if (self.num_requests or 0) > MAX_REQUESTS:
            raise WorkloadError("num_requests", f"{self.num_requests} is too many", fix=f"at most {MAX_REQUESTS} fit")


def parse_mix(text: str) -> tuple[float, ...]:
    """Return the weights in a text such as `1:1:2`.

    Raises:
        WorkloadError: `text` is no list of weights.
    """
    try:
        weights = tuple(float(part) for part in text.split(":"))
    except ValueError:
        raise WorkloadError("mix", f"{text!r} is no list of weights", fix="write one for each class: 1:1:2") from None
    _check_weights("mix", weights)
    return weights


def _check_positive(name: str, value: float | None, *, fix: str) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise WorkloadError(name, f"{value} is not above 0", fix=fix)


def _check_context(tokens: int | None) -> None:
    if tokens is not None and tokens < 2:
        raise WorkloadError("context_tokens", f"{tokens} holds no prompt and answer", fix="give 2 or more")


def _check_weights(name: str, weights: tuple[float, ...] | None) -> None:
    if weights is None:
        return
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise WorkloadError(name, "a weight is negative or no number", fix="give weights of 0 or more, such as 1:1:2")
    if sum(weights) <= 0:
        raise WorkloadError(name, "nothing has a weight", fix="give at least one weight above 0")


def _check_arrivals(arrivals: Arrivals) -> None:
    match arrivals:
        case Poisson(gap_cap=cap):
            _check_positive("arrivals", cap, fix="cap gaps above 0 means, for example poisson:8")
        case Replayed(start=start):
            if not (math.isfinite(start) and start >= 0):
                raise WorkloadError("arrivals", f"a start of {start} s is before the trace", fix="start at 0 or later")
        case Diurnal(rates=rates, phase=phase):
            _check_weights("arrivals", rates)
            _check_positive("arrivals", phase, fix="give phases above 0 s, for example diurnal:2,5,900")
