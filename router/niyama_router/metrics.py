"""What Prometheus is told: how requests fare, and how the router sees its replicas.

Everything is counted once a request, when it ends; gauges of replicas are set now and then. Nothing is per token.
"""

from collections.abc import Set
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from niyama_router.directory import Directory
from niyama_router.outcome import Outcome, OutcomeKind

__all__ = ["RouterMetrics"]

# From a millisecond, which only a paced engine at high speed reaches, to the half hour of a nightly job.
_LONG_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 10.0, 20.0, 60.0, 180.0, 600.0, 1800.0)
_SHORT_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
_CLASS = ("qos_class",)
_CLASS_AND_REPLICA = ("qos_class", "replica")


@dataclass(frozen=True, slots=True)
class _Series:
    """The series of one class on one replica; looking them up by label each time costs more than counting."""

    on_time: Counter
    ttft: Histogram
    tbt: Histogram
    ttlt: Histogram


class RouterMetrics:
    """The metrics of one router.

    Attributes:
        registry: what a metrics server serves.
    """

    def __init__(self, *, has_board: bool) -> None:
        """Begin at zero; only with a load board is there anything to say of it."""
        self.registry = registry = CollectorRegistry()
        self._requests = Counter("niyama_requests", "Requests that ended.", (*_CLASS, "outcome"), registry=registry)
        self._invalid = Counter("niyama_invalid_requests", "Requests with wrong fields.", registry=registry)
        self._on_time = Counter("niyama_requests_on_time", "Requests on time.", _CLASS_AND_REPLICA, registry=registry)
        self._relegated = Counter("niyama_requests_relegated", "Requests relegated.", _CLASS, registry=registry)
        self._moved = Counter("niyama_requests_moved", "Requests moved to another replica.", _CLASS, registry=registry)
        self._placed = Counter(
            "niyama_requests_placed",
            "Places given to clients that stream from replicas themselves; again when another was lost or relegated.",
            (*_CLASS, "again"),
            registry=registry,
        )
        self._late = Counter("niyama_late_tokens", "Tokens after their deadline.", _CLASS, registry=registry)
        self._open = Gauge("niyama_open_requests", "Requests that are being served.", _CLASS, registry=registry)
        self._ttft = self._histogram("ttft", "Arrival to first token.", buckets=_LONG_SECONDS)
        self._tbt = self._histogram(
            "largest_tbt", "The largest gap between two tokens of a request.", buckets=_SHORT_SECONDS
        )
        self._ttlt = self._histogram("ttlt", "Arrival to last token.", buckets=_LONG_SECONDS)
        self._info = Gauge(
            "niyama_replica_info",
            "What a replica runs; the value is 1.",
            ("replica", "model", "engine"),
            registry=registry,
        )
        self._seen: dict[str, tuple[str, str, str]] = {}
        self._series: dict[tuple[str, str], _Series] = {}
        board_registry = registry if has_board else None
        self._board_up = Gauge("niyama_load_board_up", "Whether Redis answers.", registry=board_registry)
        self._replicas = Gauge(
            "niyama_replicas", "Replicas by whether they can be placed on.", ("placeable",), registry=registry
        )
        self._load_age = Gauge("niyama_load_age_seconds", "Age of a replica's load.", ("replica",), registry=registry)

    def began(self, qos_class: str) -> None:
        """Count a request that was admitted."""
        self._open.labels(qos_class).inc()

    def refused_invalid(self) -> None:
        """Count a request with wrong fields."""
        self._invalid.inc()

    def placed(self, qos_class: str, *, again: bool) -> None:
        """Count a place that was given; `again` when the request had one before."""
        self._placed.labels(qos_class, "true" if again else "false").inc()

    def ended(self, outcome: Outcome) -> None:
        """Count what became of a request."""
        qos_class = outcome.qos_class
        self._open.labels(qos_class).dec()
        self._requests.labels(qos_class, outcome.kind.value).inc()
        if outcome.is_relegated:
            self._relegated.labels(qos_class).inc()
        if outcome.journey.num_moves:
            self._moved.labels(qos_class).inc()
        if outcome.kind is OutcomeKind.COMPLETED:
            self._completed(outcome)

    def see(self, directory: Directory, now: float, *, board_up: bool | None) -> None:
        """Set the gauges; `board_up` is None without a load board."""
        if board_up is not None:
            self._board_up.set(board_up)
        num_placeable = len(directory.placeable(now))
        self._replicas.labels("true").set(num_placeable)
        self._replicas.labels("false").set(len(directory) - num_placeable)
        seen = {}
        for known in directory.replicas():
            load = known.load
            seen[load.replica] = (load.replica, load.model, load.engine)
            self._load_age.labels(load.replica).set(max(0.0, now - known.load_since))
        for name, info in self._seen.items():
            if seen.get(name) != info:
                self._info.remove(*info)
        for info in seen.values():
            self._info.labels(*info).set(1)
        self._drop(self._seen.keys() - seen.keys())
        self._seen = seen

    def _drop(self, names: Set[str]) -> None:
        """End the series of replicas that are gone: their successors may have other names, for ever."""
        for name in names:
            self._load_age.remove(name)
        for labels in [labels for labels in self._series if labels[1] in names]:
            del self._series[labels]
            for metric in (self._on_time, self._ttft, self._tbt, self._ttlt):
                metric.remove(*labels)

    def _completed(self, outcome: Outcome) -> None:
        completion = outcome.completion
        if completion is None:
            return
        series = self._series_of(outcome.qos_class, outcome.journey.replica)
        series.ttft.observe(completion.ttft.ToNanoseconds() / 1e9)
        series.ttlt.observe(completion.ttlt.ToNanoseconds() / 1e9)
        if completion.HasField("largest_tbt"):
            series.tbt.observe(completion.largest_tbt.ToNanoseconds() / 1e9)
        series.on_time.inc(completion.on_time)
        if completion.num_late_tokens:
            self._late.labels(outcome.qos_class).inc(completion.num_late_tokens)

    def _series_of(self, qos_class: str, replica: str) -> _Series:
        labels = (qos_class, replica)
        series = self._series.get(labels)
        if series is None:
            on_time, ttft, tbt, ttlt = self._on_time, self._ttft, self._tbt, self._ttlt
            series = _Series(on_time.labels(*labels), ttft.labels(*labels), tbt.labels(*labels), ttlt.labels(*labels))
            self._series[labels] = series
        return series

    def _histogram(self, name: str, text: str, *, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"niyama_{name}_seconds", text, _CLASS_AND_REPLICA, buckets=buckets, registry=self.registry)
