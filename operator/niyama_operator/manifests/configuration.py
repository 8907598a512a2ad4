"""The ConfigMaps with the configuration files of routers and replicas, and what of them a running pod cannot take over.

Both roles watch their file, so changed classes, policies and limits need no restart. A change of anything else changes
the restart mark in the pods' template, and Kubernetes replaces them one after the other.
"""

import json
from collections.abc import Mapping

from niyama_core.role_documents import (
    AGENT_LIVE_FIELDS,
    ROUTER_LIVE_FIELDS,
    Surroundings,
    agent_document,
    router_document,
)
from niyama_core.service_sections import EmbeddedRedis, ExternalRedis

from niyama_operator.manifests.blueprint import (
    GRPC_PORT,
    METRICS_PORT,
    REDIS_PORT,
    Blueprint,
    Manifest,
    Role,
    fingerprint,
)
from niyama_operator.manifests.pod_template import LEASE_KEY_FILE, REDIS_PASSWORD_FILE, RESUME_KEY_FILE

__all__ = ["CONFIG_FILE", "config_map", "restart_mark", "role_document"]

CONFIG_FILE = "config.yaml"
"""The one file of a ConfigMap."""


def config_map(blueprint: Blueprint, role: Role) -> Manifest:
    """Return a role's ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": blueprint.metadata(blueprint.name(role), role),
        # JSON is YAML, and reads well enough with indents.
        "data": {CONFIG_FILE: json.dumps(role_document(blueprint, role), indent=2) + "\n"},
    }


def restart_mark(blueprint: Blueprint, role: Role) -> str:
    """Return what differs when a role's pods must be replaced for the sake of their configuration."""
    live = AGENT_LIVE_FIELDS if role is Role.REPLICA else ROUTER_LIVE_FIELDS
    document = role_document(blueprint, role)
    return fingerprint({key: value for key, value in document.items() if key not in live})


def role_document(blueprint: Blueprint, role: Role) -> dict[str, object]:
    """Return the configuration of a role's pods; each adds its own name on its command line."""
    spec = blueprint.spec
    around = Surroundings(
        listen=f"0.0.0.0:{GRPC_PORT}",
        metrics=f"0.0.0.0:{METRICS_PORT}",
        redis=_redis(blueprint),
        drain_grace=spec.drain_grace,
        log={"level": spec.observability.log_level, "json": spec.observability.log_json},
    )
    leases = {} if spec.security.lease_key_secret is None else {"leaseKeyFile": str(LEASE_KEY_FILE)}
    if role is Role.REPLICA:
        return {**agent_document(spec, around), **leases}
    replicas = {
        "replicaService": f"{blueprint.host(blueprint.replicas_service)}:{GRPC_PORT}",
        "maxConnectionAge": f"{spec.router.max_connection_age:.3f}s",
    }
    if spec.security.resume_key_secret is not None:
        replicas["resumeKeyFile"] = str(RESUME_KEY_FILE)
    return {**router_document(spec, around, replicas=replicas), **leases}


def _redis(blueprint: Blueprint) -> Mapping[str, object]:
    match blueprint.spec.redis:
        case EmbeddedRedis():
            return {"url": f"redis://{blueprint.host(blueprint.name(Role.REDIS))}:{REDIS_PORT}/0"}
        case ExternalRedis(url=url, password_secret=None):
            return {"url": url}
        case ExternalRedis(url=url):
            return {"url": url, "passwordFile": str(REDIS_PASSWORD_FILE)}
