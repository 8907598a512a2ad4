"""Scenario 7: what is missing is said within seconds, and when it comes the cluster heals by itself."""

import json

import pytest

from e2e.declared_clusters import NiyamaCluster
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
def short(niyama: Installation, namespace: Kubectl) -> NiyamaCluster:
    return NiyamaCluster(namespace, "short")


def test_gpus_that_are_short_are_told_and_a_rollout_goes_on_without_spare_ones(
    short: NiyamaCluster, figures: Figures
) -> None:
    offer_gpus(short.kubectl, 1)
    gpus = {"gpus": 1, "requests": {"cpu": "20m", "memory": "64Mi"}}
    short.declare(resources=gpus)
    message = short.wait_told("InsufficientGpus")
    assert "nvidia.com/gpu" in message
    assert "InsufficientGpus" in short.kubectl("get", "nyc", "short")
    figures.add("7 too few GPUs", message)
    offer_gpus(short.kubectl, 2)
    short.wait_settled()

    # Two replicas on two GPUs: there is no spare one for a new replica to be ready on before an old one goes.
    before = short.starts("replica")
    short.declare(resources=gpus, engine={"type": "paced", "noise": 0.05})
    eventually(lambda: short.condition("Progressing")["reason"] == "ReplacingInPlace", within=60)
    eventually(lambda: not short.starts("replica").keys() & before.keys(), within=120)
    short.wait_settled()
    short.kubectl("delete", "nyc", "short")
    offer_gpus(short.kubectl, 0)


def test_an_image_that_is_missing_is_told(niyama: Installation, short: NiyamaCluster, figures: Figures) -> None:
    short.declare(engine={"type": "paced", "image": "localhost/none:1"})
    message = short.wait_told("ImagePullFailed")
    assert "localhost/none:1" in message
    figures.add("7 image missing", message)
    short.declare(engine={"type": "paced"})
    short.wait_settled()
    short.kubectl("delete", "nyc", "short")


def test_what_an_agent_says_at_its_end_is_told(short: NiyamaCluster, figures: Figures) -> None:
    short.declare(pods={"command": ["niyama-agent", "--policy", "no-such-policy"]})
    message = short.wait_told("CrashLoop")
    assert "scheduler.policy" in message
    assert "no-such-policy" in message
    figures.add("7 agent that cannot start", message)
    short.declare(pods={})
    short.wait_settled()
    short.kubectl("delete", "nyc", "short")


def test_a_secret_that_is_missing_is_told(niyama: Installation, short: NiyamaCluster, figures: Figures) -> None:
    secret = {"name": "redis", "key": "password"}
    short.declare(redis={"external": {"url": "redis://nowhere:6379/0", "passwordSecret": secret}})
    message = short.wait_told("MountFailed")
    assert '"redis" not found' in message
    figures.add("7 Redis' Secret missing", message)
    short.kubectl("create", "secret", "generic", "redis", "--from-literal=password=wrong")
    # The Redis is still nowhere: the cluster serves, and says so.
    told = short.wait_told("RedisUnavailable", within=150)
    assert "spec.redis" in told
    assert short.condition("Ready")["status"] == "True"
    short.declare(redis={"embedded": {}})
    eventually(lambda: short.condition("Degraded")["status"] == "False", within=60)
    short.wait_settled()
    short.kubectl("delete", "nyc", "short")
