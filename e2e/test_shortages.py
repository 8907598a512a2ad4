"""Scenario 7: what is missing is said within seconds, and when it comes the cluster heals by itself."""

import json

import pytest

from e2e.clusters import Cluster
from e2e.figures import Figures
from e2e.installation import Installation
from e2e.kubectl import Kubectl
from e2e.waiting import eventually


def offer_gpus(kubectl: Kubectl, number: int) -> None:
    """Have the first node say that it has so many GPUs."""
    name = kubectl.items("nodes")[0]["metadata"]["name"]
    counts = {"nvidia.com/gpu": str(number)}
    patch = json.dumps({"status": {"capacity": counts, "allocatable": counts}})
    kubectl("patch", "node", name, "--subresource=status", "--type=merge", f"--patch={patch}")


@pytest.fixture
def cluster(niyama: Installation, namespace: Kubectl) -> Cluster:
    return Cluster(namespace, "short")


def test_gpus_that_are_short_are_told_and_a_rollout_goes_on_without_spare_ones(
    cluster: Cluster, figures: Figures
) -> None:
    offer_gpus(cluster.kubectl, 1)
    gpus = {"gpus": 1, "requests": {"cpu": "20m", "memory": "64Mi"}}
    cluster.declare(resources=gpus)
    message = cluster.wait_told("InsufficientGpus")
    assert "nvidia.com/gpu" in message
    assert "InsufficientGpus" in cluster.kubectl("get", "nyc", "short")
    figures.add("7 too few GPUs", message)
    offer_gpus(cluster.kubectl, 2)
    cluster.wait_settled()

    # Two replicas on two GPUs: there is no spare one for a new replica to be ready on before an old one goes.
    before = cluster.starts("replica")
    cluster.declare(resources=gpus, engine={"type": "paced", "noise": 0.05})
    eventually(lambda: cluster.condition("Progressing")["reason"] == "ReplacingInPlace", within=60)
    eventually(lambda: not cluster.starts("replica").keys() & before.keys(), within=120)
    cluster.wait_settled()
    cluster.kubectl("delete", "nyc", "short")
    offer_gpus(cluster.kubectl, 0)


def test_an_image_that_is_missing_is_told(niyama: Installation, cluster: Cluster, figures: Figures) -> None:
    cluster.declare(engine={"type": "paced", "image": "localhost/none:1"})
    message = cluster.wait_told("ImagePullFailed")
    assert "localhost/none:1" in message
    figures.add("7 image missing", message)
    cluster.declare(engine={"type": "paced"})
    cluster.wait_settled()
    cluster.kubectl("delete", "nyc", "short")


def test_what_an_agent_says_at_its_end_is_told(cluster: Cluster, figures: Figures) -> None:
    cluster.declare(engine={"type": "paced", "profile": "h200-no-such-model"})
    message = cluster.wait_told("CrashLoop")
    assert "engine.profile" in message
    assert "h200-no-such-model" in message
    figures.add("7 profile missing", message)
    cluster.declare(engine={"type": "paced"})
    cluster.wait_settled()
    cluster.kubectl("delete", "nyc", "short")


def test_a_secret_that_is_missing_is_told(niyama: Installation, cluster: Cluster, figures: Figures) -> None:
    secret = {"name": "redis", "key": "password"}
    cluster.declare(redis={"external": {"url": "redis://nowhere:6379/0", "passwordSecret": secret}})
    message = cluster.wait_told("MountFailed")
    assert '"redis" not found' in message
    figures.add("7 Redis' Secret missing", message)
    cluster.kubectl("create", "secret", "generic", "redis", "--from-literal=password=wrong")
    # The Redis is still nowhere: the cluster serves, and says so.
    told = cluster.wait_told("RedisUnavailable", within=150)
    assert "spec.redis" in told
    assert cluster.condition("Ready")["status"] == "True"
    cluster.declare(redis={"embedded": {}})
    eventually(lambda: cluster.condition("Degraded")["status"] == "False", within=60)
    cluster.wait_settled()
    cluster.kubectl("delete", "nyc", "short")
