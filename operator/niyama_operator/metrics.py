"""The operator's metrics: clusters, reconciliations, requests to the API server."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

__all__ = ["OperatorMetrics"]


class OperatorMetrics:
    """One registry with what an operator says of itself."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.clusters = Gauge("niyama_operator_clusters", "NiyamaClusters that are watched", registry=self.registry)
        self.leading = Gauge("niyama_operator_leading", "Whether this operator holds the Lease", registry=self.registry)
        self.reconcile_seconds = Histogram(
            "niyama_operator_reconcile_seconds",
            "Time of one reconciliation",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.reconcile_errors = Counter(
            "niyama_operator_reconcile_errors_total", "Reconciliations that failed", registry=self.registry
        )
        self.api_requests = Counter(
            "niyama_operator_api_requests_total", "Requests to the API server", ["method"], registry=self.registry
        )
