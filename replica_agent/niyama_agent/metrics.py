"""What Prometheus sees of an agent. Each metric is fed by a value that exists anyway: a record, a load, a delivery.

Names begin with `niyama_engine_`, so that they never clash with a router's; every metric has the labels `replica` and
`model`, and `qos_class` where it makes sense. Class names come from routers, so their number is capped.
"""

from collections.abc import Sequence

from niyama_core.delivery import Delivery
from niyama_core.journal import IterationRecord
from niyama_core.load import ReplicaLoad
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from niyama_agent.engine import EngineFacts, EngineLoad
from niyama_agent.identity import Identity

__all__ = ["AgentMetrics"]

_ITERATION_BUCKETS = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
_MAX_CLASSES = 32
_OTHER = "other"
_OWN = ("replica", "model")
_BY_CLASS = (*_OWN, "qos_class")
_BUILD = (*_OWN, "component", "version", "engine", "engine_version", "profile", "policy")


class AgentMetrics:
    """The metrics of one agent.

    Args:
        identity: whose.
        version: of Niyama.
    """

    def __init__(self, identity: Identity, *, version: str) -> None:
        """Declare every metric in a registry of its own."""
        self.registry = CollectorRegistry()
        """What a metrics server serves."""
        self._own = (identity.replica, identity.model)
        self._classes: set[str] = set()
        self._declare_iterations()
        self._declare_requests()
        self._declare_load()
        self._version = version

    def describe(self, facts: EngineFacts) -> None:
        """Say what runs here, once that is known and whenever it has changed."""
        self._kv_capacity.labels(*self._own).set(facts.kv_capacity_tokens)
        build = ("agent", self._version, facts.name, facts.version, facts.profile, facts.scheduler.policy)
        self._build_info.clear()
        self._build_info.labels(*self._own, *build).set(1)

    def observe_iteration(self, record: IterationRecord) -> None:
        """Count an iteration."""
        executed, own = record.executed, self._own
        self._iteration_seconds.labels(*own).observe(record.seconds)
        self._prefill_tokens.labels(*own).inc(sum(chunk.num_tokens for chunk in executed.chunks))
        self._decode_tokens.labels(*own).inc(len(executed.decodes))
        self._preemptions.labels(*own).inc(len(record.plan.preempted))

    def observe_relegation(self, qos_class: str) -> None:
        """Count a request that was relegated."""
        self._relegations.labels(*self._own, self._label(qos_class)).inc()

    def observe_end(self, delivery: Delivery, outcome: str) -> None:
        """Count a request that has ended: `completed`, `handed_back`, `aborted`, `cancelled` or `failed`."""
        qos_class = self._label(delivery.promise.qos_class)
        self._requests.labels(*self._own, qos_class, outcome).inc()
        self._late_tokens.labels(*self._own, qos_class).inc(delivery.num_late_tokens)
        if outcome == "completed" and delivery.is_on_time:
            self._on_time.labels(*self._own, qos_class).inc()

    def observe_load(self, load: ReplicaLoad, *, board_is_up: bool | None) -> None:
        """Show a load; `board_is_up` is None where there is no load board."""
        self._kv_used.labels(*self._own).set(load.kv_used_tokens)
        self._draining.labels(*self._own).set(load.draining)
        if board_is_up is not None:
            self._board_up.labels(*self._own).set(board_is_up)
        for qos_class in self._classes | {self._label(name) for name in load.classes}:
            labels, of_class = (*self._own, qos_class), load.classes.get(qos_class)
            self._queued.labels(*labels).set(of_class.num_queued if of_class else 0)
            self._queued_tokens.labels(*labels).set(of_class.queued_prefill_tokens if of_class else 0)
            self._decoding.labels(*labels).set(of_class.num_decoding if of_class else 0)
            self._relegated.labels(*labels).set(of_class.num_relegated if of_class else 0)

    def observe_engine(self, load: EngineLoad) -> None:
        """Show what only an engine can count."""
        self._unplanned.labels(*self._own).set(load.num_unplanned)
        self._unreported.labels(*self._own).set(load.num_unreported)

    def _declare_iterations(self) -> None:
        self._iteration_seconds = Histogram(
            "niyama_engine_iteration_seconds",
            "Time of an iteration.",
            _OWN,
            registry=self.registry,
            buckets=_ITERATION_BUCKETS,
        )
        self._prefill_tokens = self._counter("niyama_engine_prefill_tokens", "Prompt tokens computed.", labels=_OWN)
        self._decode_tokens = self._counter("niyama_engine_decode_tokens", "Tokens decoded.", labels=_OWN)
        self._preemptions = self._counter(
            "niyama_engine_preemptions", "Requests that lost their KV cache.", labels=_OWN
        )

    def _declare_requests(self) -> None:
        self._requests = self._counter("niyama_engine_requests", "Requests that ended.", labels=(*_BY_CLASS, "outcome"))
        self._on_time = self._counter(
            "niyama_engine_requests_on_time", "Requests that kept their promise.", labels=_BY_CLASS
        )
        self._late_tokens = self._counter(
            "niyama_engine_late_tokens", "Tokens emitted after they were due.", labels=_BY_CLASS
        )
        self._relegations = self._counter(
            "niyama_engine_relegations", "Requests that were relegated.", labels=_BY_CLASS
        )

    def _declare_load(self) -> None:
        self._build_info = self._gauge("niyama_build_info", "What runs here; the value is 1.", labels=_BUILD)
        self._queued = self._gauge("niyama_engine_queued_requests", "Requests in or before prefill.", labels=_BY_CLASS)
        self._queued_tokens = self._gauge(
            "niyama_engine_queued_prefill_tokens", "Prompt tokens that wait.", labels=_BY_CLASS
        )
        self._decoding = self._gauge("niyama_engine_decoding_requests", "Requests that decode.", labels=_BY_CLASS)
        self._relegated = self._gauge(
            "niyama_engine_relegated_requests", "Requests that are relegated.", labels=_BY_CLASS
        )
        self._kv_used = self._gauge("niyama_engine_kv_used_tokens", "Tokens in the KV cache.", labels=_OWN)
        self._kv_capacity = self._gauge(
            "niyama_engine_kv_capacity_tokens", "Tokens that the KV cache holds.", labels=_OWN
        )
        self._unplanned = self._gauge(
            "niyama_engine_unplanned_requests", "Requests so far that no plan could hold.", labels=_OWN
        )
        self._unreported = self._gauge(
            "niyama_engine_unreported_iterations", "Iterations so far without a record.", labels=_OWN
        )
        self._draining = self._gauge("niyama_engine_draining", "1 when nothing new is taken.", labels=_OWN)
        self._board_up = self._gauge("niyama_load_board_up", "1 when Redis answers.", labels=_OWN)

    def _counter(self, name: str, text: str, *, labels: Sequence[str]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *, labels: Sequence[str]) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _label(self, qos_class: str) -> str:
        """Return the label of a class: its name, or `other` for the classes beyond the cap."""
        if qos_class not in self._classes and len(self._classes) >= _MAX_CLASSES:
            return _OTHER
        self._classes.add(qos_class)
        return qos_class
