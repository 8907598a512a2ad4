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
        time.sleep(1)
        cluster.wait_settled()
        recovered = time.monotonic() - began
    figures.add(f"3 {what}", f"whole again after {recovered:.1f} s; {account.summary()}")
    assert (account.errors[:5], account.num_lost) == ([], 0), account.summary()


def kill(cluster: NiyamaCluster, role: str, *, node: Node) -> None:
    """Kill the process of one pod of a role."""
    (status,) = cluster.kubectl.get("pod", cluster.pod_names(role)[0])["status"]["containerStatuses"]
    node.kill_container(status["containerID"])


def delete(cluster: NiyamaCluster, role: str, *flags: str) -> None:
    """Delete one pod of a role, and do not wait for its end."""
    cluster.kubectl("delete", "pod", cluster.pod_names(role)[0], "--wait=false", *flags)


def evict(cluster: NiyamaCluster, role: str) -> None:
    """Evict one pod of a role, as a node that is drained does."""
    name = cluster.pod_names(role)[0]
    path = f"/api/v1/namespaces/{cluster.kubectl.namespace}/pods/{name}/eviction"
    eviction = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}})
    cluster.kubectl("create", "--raw", path, "--filename=-", stdin=eviction)


def test_a_replica_that_is_killed_loses_nothing(llama: NiyamaCluster, node: Node, figures: Figures) -> None:
    survive(llama, "kill -9 of an agent", happen=lambda: kill(llama, "replica", node=node), figures=figures)


def test_a_replica_that_is_deleted_loses_nothing(llama: NiyamaCluster, figures: Figures) -> None:
    survive(llama, "replica pod deleted", happen=lambda: delete(llama, "replica"), figures=figures)


def test_a_replica_that_is_evicted_loses_nothing(llama: NiyamaCluster, figures: Figures) -> None:
    survive(llama, "replica pod evicted", happen=lambda: evict(llama, "replica"), figures=figures)


def test_a_router_that_is_killed_loses_nothing(llama: NiyamaCluster, node: Node, figures: Figures) -> None:
    """The SDK goes on at the other router; a plain gRPC client would see UNAVAILABLE."""
    survive(llama, "kill -9 of a router", happen=lambda: kill(llama, "router", node=node), figures=figures)


def test_a_router_that_is_deleted_loses_nothing(llama: NiyamaCluster, figures: Figures) -> None:
    survive(llama, "router pod deleted", happen=lambda: delete(llama, "router"), figures=figures)


def test_a_redis_that_is_deleted_costs_nothing(llama: NiyamaCluster, figures: Figures) -> None:
    survive(llama, "Redis pod deleted", happen=lambda: delete(llama, "redis", "--grace-period=1"), figures=figures)
