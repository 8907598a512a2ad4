"""The Deployment of the routers. They are many and small, so a new one is always ready before an old one goes."""

import math
from collections.abc import Mapping

from niyama_operator.manifests.blueprint import Blueprint, Manifest, Role
from niyama_operator.manifests.configuration import CONFIG_FILE, restart_mark
from niyama_operator.manifests.pod_template import (
    CONFIG_FOLDER,
    deployment,
    grpc_probe,
    node_fields,
    overlaid,
    pod_spec,
    role_ports,
    shared_mounts,
    shared_volumes,
)

__all__ = ["router_deployment"]

_STRATEGY: Mapping[str, object] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
# For as long before the end begins, so that no new client is sent here: endpoints and names take a moment to follow.
_LEAVE_SECONDS = 5
_MARGIN_SECONDS = 10


def router_deployment(blueprint: Blueprint) -> Manifest:
    """Return the routers' Deployment."""
    spec = blueprint.spec
    template = {
        "metadata": {
            "labels": blueprint.labels(Role.ROUTER),
            "annotations": {"niyama.dev/restart-mark": restart_mark(blueprint, Role.ROUTER)},
        },
        "spec": {
            **pod_spec(
                blueprint,
                container=_container(blueprint),
                volumes=shared_volumes(blueprint, Role.ROUTER),
                grace=_LEAVE_SECONDS + math.ceil(spec.drain_grace) + _MARGIN_SECONDS,
            ),
            "topologySpreadConstraints": [_spread(blueprint)],
            **node_fields(spec.router.nodes),
        },
    }
    return deployment(
        blueprint,
        Role.ROUTER,
        num_pods=spec.router.replicas,
        strategy=dict(_STRATEGY),
        template=overlaid(template, spec.router.pods),
    )


def _spread(blueprint: Blueprint) -> Manifest:
    """Return that routers should not all be on one node, where nothing else is declared."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": blueprint.selector(Role.ROUTER)},
    }


def _container(blueprint: Blueprint) -> Manifest:
    router = blueprint.spec.router
    resources: Manifest = {"requests": dict(router.resources.requests) or {"cpu": "100m", "memory": "128Mi"}}
    if router.resources.limits:
        resources["limits"] = dict(router.resources.limits)
    return {
        "name": "router",
        "image": router.image or blueprint.defaults.images.router,
        "args": ["--config", f"{CONFIG_FOLDER}/{CONFIG_FILE}", "--router", "$(POD_NAME)"],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "LOGNAME", "value": "niyama"},
        ],
        "ports": role_ports(),
        "lifecycle": {"preStop": {"sleep": {"seconds": _LEAVE_SECONDS}}},
        "startupProbe": grpc_probe(period=1, failures=60),
        "readinessProbe": grpc_probe(period=2, failures=1),
        "livenessProbe": grpc_probe(period=10, failures=3, alive=True),
        "resources": resources,
        "volumeMounts": shared_mounts(blueprint, Role.ROUTER),
    }
