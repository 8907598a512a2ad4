"""The Redis that comes with a cluster: it holds hints that are a second old, so it keeps nothing on disk."""

from collections.abc import Sequence

from niyama_core.service_sections import EmbeddedRedis

from niyama_operator.manifests.blueprint import REDIS_PORT, Blueprint, Manifest, Role
from niyama_operator.manifests.pod_template import deployment, pod_spec

__all__ = ["redis_deployment"]

_COMMAND: Sequence[str] = [
    "valkey-server",
    "--port",
    str(REDIS_PORT),
    "--save",
    "",
    "--appendonly",
    "no",
    "--protected-mode",
    "no",
    "--maxmemory",
    "96mb",
    "--dir",
    "/data",
]


def redis_deployment(blueprint: Blueprint, redis: EmbeddedRedis) -> Manifest:
    """Return the Deployment of an embedded Redis."""
    probe = {"tcpSocket": {"port": REDIS_PORT}, "periodSeconds": 5, "failureThreshold": 3}
    resources: Manifest = {
        "requests": dict(redis.resources.requests) or {"cpu": "50m", "memory": "32Mi"},
        "limits": dict(redis.resources.limits) or {"memory": "160Mi"},
    }
    container = {
        "name": "redis",
        "image": redis.image or blueprint.defaults.images.redis,
        "command": list(_COMMAND),
        "ports": [{"name": "redis", "containerPort": REDIS_PORT, "protocol": "TCP"}],
        "startupProbe": {**probe, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": probe,
        "livenessProbe": probe,
        "resources": resources,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volumes = [{"name": "data", "emptyDir": {}}]
    template = {
        "metadata": {"labels": blueprint.labels(Role.REDIS), "annotations": {}},
        "spec": pod_spec(blueprint, container=container, volumes=volumes, grace=5),
    }
    # Two at once would hold two halves of the load board.
    return deployment(blueprint, Role.REDIS, num_pods=1, strategy={"type": "Recreate"}, template=template)
