"""Services, and the policies about who may reach what and how many pods may go at once."""

from collections.abc import Mapping, Sequence

from niyama_operator.manifests.blueprint import (
    GRPC_PORT,
    METRICS_PORT,
    REDIS_PORT,
    Blueprint,
    Manifest,
    Role,
)

__all__ = ["disruption_budget", "headless_service", "network_policy", "redis_service", "router_service"]

_GRPC: Mapping[str, object] = {
    "name": "grpc",
    "port": GRPC_PORT,
    "targetPort": "grpc",
    "protocol": "TCP",
    # Tells gateways that this is HTTP/2 without TLS.
    "appProtocol": "kubernetes.io/h2c",
}
_REDIS: Mapping[str, object] = {"name": "redis", "port": REDIS_PORT, "targetPort": "redis", "protocol": "TCP"}


def router_service(blueprint: Blueprint) -> Manifest:
    """Return the Service that clients speak to; a connection through it stays with one router."""
    declared = blueprint.spec.router.service
    service = _service(blueprint, blueprint.client_service, role=Role.ROUTER, port=_GRPC)
    service["spec"]["type"] = declared.type.value
    if declared.annotations:
        service["metadata"]["annotations"] = dict(declared.annotations)
    return service


def headless_service(blueprint: Blueprint, name: str, *, role: Role) -> Manifest:
    """Return a Service whose name stands for the address of each ready pod."""
    service = _service(blueprint, name, role=role, port=_GRPC)
    service["spec"]["clusterIP"] = "None"
    return service


def redis_service(blueprint: Blueprint) -> Manifest:
    """Return the Service of an embedded Redis."""
    return _service(blueprint, blueprint.name(Role.REDIS), role=Role.REDIS, port=_REDIS)


def _service(blueprint: Blueprint, name: str, *, role: Role, port: Mapping[str, object]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": blueprint.metadata(name, role),
        "spec": {"selector": blueprint.selector(role), "ports": [dict(port)]},
    }


def disruption_budget(blueprint: Blueprint, role: Role) -> Manifest:
    """Return the budget that lets one pod of a role go at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": blueprint.metadata(blueprint.name(role), role),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": blueprint.selector(role)},
            # A pod that is not ready serves nobody: let it be moved.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def network_policy(blueprint: Blueprint, role: Role, *, callers: Sequence[Role], port: int) -> Manifest:
    """Return the policy that lets only `callers` reach a role's `port`, all where none is named, and its metrics."""
    peers = [{"podSelector": {"matchLabels": blueprint.selector(caller)}} for caller in callers]
    ports: Manifest = {"ports": [{"port": port, "protocol": "TCP"}]}
    ingress: list[Manifest] = [{"from": peers, **ports} if peers else ports]
    if role is not Role.REDIS:
        ingress.append({"ports": [{"port": METRICS_PORT, "protocol": "TCP"}]})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": blueprint.metadata(blueprint.name(role), role),
        "spec": {
            "podSelector": {"matchLabels": blueprint.selector(role)},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    }
