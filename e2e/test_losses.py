"""Scenario 3: what dies without notice costs no accepted request; how long until all is well again."""

import json
import time
from collections.abc import Callable

import pytest

from e2e.declared_clusters import NiyamaCluster
from e2e.figures import Figures
from e2e.installation import Installation
from e2e.kubectl import Kubectl
from e2e.node import Node
from e2e.traffic import traffic


@pytest.fixture
def llama(niyama: Installation, namespace: Kubectl) -> NiyamaCluster:
    cluster = NiyamaCluster(namespace).declare()
    cluster.wait_settled()
    return cluster


def survive(cluster: NiyamaCluster, what: str, *, happen: Callable[[], object], figures: Figures) -> None:
    """Let something happen under load; no request may be lost, and the cluster must be whole again."""
    with traffic(cluster.address()) as account:
        time.sleep(2)
        began = time.monotonic()
        happen()
        cluster_changed = time.monotonic()
        time.sleep(1)
        cluster.wait_settled()
        recovered = time.monotonic() - began
    figures.add(f"3 {what}", f"whole again after {recovered:.1f} s; {account.summary()}")
    assert cluster_changed >= began
    assert (account.errors[:5], account.num_lost) == ([], 0), account.summary()


def test_a_replica_that_is_killed_loses_nothing(llama: NiyamaCluster, node: Node, figures: Figures) -> None:
    victim = llama.pod_names("replica")[0]
    (status,) = llama.kubectl.get("pod", victim)["status"]["containerStatuses"]
    kill = lambda: node.kill_container(status["containerID"])  # noqa: E731
    survive(llama, "kill -9 of an agent", happen=kill, figures=figures)


def test_a_replica_that_is_deleted_loses_nothing(llama: NiyamaCluster, figures: Figures) -> None:
    victim = llama.pod_names("replica")[0]
    delete = lambda: llama.kubectl("delete", "pod", victim, "--wait=false")  # noqa: E731
    survive(llama, "replica pod deleted", happen=delete, figures=figures)


def test_a_replica_that_is_evicted_loses_nothing(llama: NiyamaCluster, figures: Figures) -> None:
    victim = llama.pod_names("replica")[0]
    path = f"/api/v1/namespaces/{llama.kubectl.namespace}/pods/{victim}/eviction"
    eviction = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": victim}})
    evict = lambda: llama.kubectl("create", "--raw", path, "--filename=-", stdin=eviction)  # noqa: E731
    survive(llama, "replica pod evicted", happen=evict, figures=figures)


def test_a_router_that_is_killed_loses_nothing(llama: NiyamaCluster, node: Node, figures: Figures) -> None:
    """The SDK goes on at the other router; a plain gRPC client would see UNAVAILABLE."""
    victim = llama.pod_names("router")[0]
    (status,) = llama.kubectl.get("pod", victim)["status"]["containerStatuses"]
    kill = lambda: node.kill_container(status["containerID"])  # noqa: E731
    survive(llama, "kill -9 of a router", happen=kill, figures=figures)


def test_a_router_that_is_deleted_loses_nothing(llama: NiyamaCluster, figures: Figures) -> None:
    victim = llama.pod_names("router")[0]
    delete = lambda: llama.kubectl("delete", "pod", victim, "--wait=false")  # noqa: E731
    survive(llama, "router pod deleted", happen=delete, figures=figures)


def test_a_redis_that_is_deleted_costs_nothing(llama: NiyamaCluster, figures: Figures) -> None:
    victim = llama.pod_names("redis")[0]
    delete = lambda: llama.kubectl("delete", "pod", victim, "--wait=false", "--grace-period=1")  # noqa: E731
    survive(llama, "Redis pod deleted", happen=delete, figures=figures)
