"""Scenario 9: twenty clusters of five replicas: what they cost the operator, busy and idle.

A hundred and sixty pods need a larger machine than two cores; NIYAMA_E2E_CLUSTERS and NIYAMA_E2E_REPLICAS say how many
there are to be, by default as many as a small machine starts in a few minutes.
"""

import os
import time
import urllib.request
from datetime import UTC, datetime

from e2e import audit
from e2e.declared_clusters import NiyamaCluster
from e2e.figures import Figures
from e2e.installation import SYSTEM, Installation
from e2e.kubectl import Kubectl
from e2e.node import Node

NUM_CLUSTERS = int(os.environ.get("NIYAMA_E2E_CLUSTERS", "6"))
NUM_REPLICAS = int(os.environ.get("NIYAMA_E2E_REPLICAS", "1"))
IDLE_SECONDS = 60.0
MOST_MEGABYTES = 200


def metrics(niyama: Installation) -> str:
    """Return what the operator's metrics say."""
    address = niyama.kubectl.get("pod", niyama.operator_pod())["status"]["podIP"]
    with urllib.request.urlopen(f"http://{address}:9090/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def quantile(text: str, name: str, share: float) -> float:
    """Return the upper bound of the bucket of a histogram that holds a quantile."""
    buckets = [
        (float(line.split('le="')[1].split('"')[0]), float(line.rsplit(" ", 1)[1]))
        for line in text.splitlines()
        if line.startswith(f"{name}_bucket")
    ]
    total = buckets[-1][1]
    return next(bound for bound, count in buckets if count >= share * total)


def test_many_clusters_cost_little(niyama: Installation, namespace: Kubectl, node: Node, figures: Figures) -> None:
    tiny = {"requests": {"cpu": "1m", "memory": "16Mi"}}
    clusters = [NiyamaCluster(namespace, f"many-{index}") for index in range(NUM_CLUSTERS)]
    began = time.monotonic()
    for cluster in clusters:
        router = {"replicas": 1, "resources": tiny}
        redis = {"embedded": {"resources": tiny}}
        cluster.declare(replicas=NUM_REPLICAS, resources=tiny, router=router, redis=redis)
    for cluster in clusters:
        cluster.wait_settled(within=500)
    settled = time.monotonic() - began
    time.sleep(5)
    idle_from = datetime.now(UTC)
    time.sleep(IDLE_SECONDS)
    user = f"system:serviceaccount:{SYSTEM}:niyama"
    asked = [r for r in audit.requests(node.logs / "audit.log", user=user, since=idle_from) if r.resource != "leases"]
    text = metrics(niyama)
    megabytes = next(
        float(line.rsplit(" ", 1)[1]) / 1e6
        for line in text.splitlines()
        if line.startswith("process_resident_memory_bytes ")
    )
    slowest = quantile(text, "niyama_operator_reconcile_seconds", 0.95)
    figures.add(
        f"9 {NUM_CLUSTERS} clusters of {NUM_REPLICAS}",
        f"settled after {settled:.0f} s; operator {megabytes:.0f} MB, reconciliation p95 within {slowest:g} s, "
        f"{len(asked) / IDLE_SECONDS * 60:.0f} requests a minute when idle",
    )
    assert megabytes < MOST_MEGABYTES
    assert len(asked) / IDLE_SECONDS * 60 < 10 * NUM_CLUSTERS
