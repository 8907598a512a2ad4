"""What placement knows of a request and of the replicas, and when a replica would have served the request."""

from dataclasses import dataclass

from niyama_core.hot_value import hot_value
from niyama_core.load import ReplicaLoad
from niyama_core.slo import Batch, Promise, QosClass, QosClasses, promised_seconds

__all__ = ["Candidate", "Forecast", "Placed", "PlacementRequest", "estimate", "forecast", "work"]

_STALE_SECONDS = 1.0
# Tokens a second of a replica that has not said its own: what the published artifact starts from.
_PRIOR_RATE = 8500.0


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """What placement knows of a request.

    Attributes:
        promise: what it was promised.
        num_prompt_tokens: estimate of the prompt's length.
        expected_output_tokens: estimate of the answer's length.
        elapsed: seconds since its arrival.
        excluded: replicas that it must not go to.
    """

    promise: Promise
    num_prompt_tokens: int
    expected_output_tokens: int
    elapsed: float = 0.0
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A replica as placement sees it.

    Attributes:
        load: its latest report.
        age: seconds since that report.
        pending_prefill_tokens: prompt tokens placed there since, which the report does not count.
        num_pending: requests placed there since.
        serves: the classes that it takes, when the cluster is divided into pools; None for all.
    """

    load: ReplicaLoad
    age: float = 0.0
    pending_prefill_tokens: int = 0
    num_pending: int = 0
    serves: frozenset[str] | None = None

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens a second that it computes, as measured, or as is usual until it has."""
        return self.load.prefill_tokens_per_second or _PRIOR_RATE


@hot_value
class Placed:
    """Where a request goes, the seconds until it would be served by its promise's measure, and whether that holds."""

    replica: str
    expected_seconds: float
    feasible: bool


@hot_value
class Forecast:
    """Seconds until a request's first token, and from each token to the next."""

    ttft: float
    tbt: float

    def ttlt(self, num_output_tokens: int) -> float:
        """Return the seconds until an answer of so many tokens has ended, one iteration to end it among them."""
        return self.ttft + num_output_tokens * self.tbt


def estimate(request: PlacementRequest, candidate: Candidate, *, classes: QosClasses) -> Placed:
    """Return when a candidate would have served the request by its promise's measure."""
    times = forecast(request, candidate, classes=classes)
    slo = request.promise.slo
    seconds = times.ttlt(request.expected_output_tokens) if isinstance(slo, Batch) else times.ttft
    return Placed(candidate.load.replica, seconds, request.elapsed + seconds <= promised_seconds(slo))


def forecast(request: PlacementRequest, candidate: Candidate, *, classes: QosClasses) -> Forecast:
    """Return when a candidate would answer the request.

    A replica serves by deadline, so only work that is at least as urgent counts as ahead of the request.
    """
    load = candidate.load
    promised = promised_seconds(request.promise.slo)
    ahead = candidate.pending_prefill_tokens
    for name, class_load in load.classes.items():
        if class_load.queued_prefill_tokens and _is_ahead(classes.by_name.get(name), promised):
            ahead += class_load.queued_prefill_tokens
    ttft = (ahead + request.num_prompt_tokens) / candidate.prefill_rate + load.iteration_seconds
    return Forecast(ttft + max(0.0, candidate.age - _STALE_SECONDS), load.iteration_seconds)


def _is_ahead(qos_class: QosClass | None, promised: float) -> bool:
    """Return whether waiting work of a class is served before a request that is due after so many seconds."""
    return qos_class is None or promised_seconds(qos_class.slo) <= promised


def work(candidate: Candidate) -> tuple[int, int, str]:
    """Return by what the load of candidates compares: prompt tokens that wait, then requests, then the name."""
    load = candidate.load
    waiting = load.queued_prefill_tokens + candidate.pending_prefill_tokens
    return waiting, load.num_requests + candidate.num_pending, load.replica
