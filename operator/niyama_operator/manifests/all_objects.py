"""Everything that a cluster is made of, in the order in which it is applied: what others need comes first."""

from niyama_core.service_sections import EmbeddedRedis

from niyama_operator.manifests.blueprint import GRPC_PORT, REDIS_PORT, Blueprint, Manifest, Role
from niyama_operator.manifests.configuration import config_map
from niyama_operator.manifests.network import (
    disruption_budget,
    headless_service,
    network_policy,
    redis_service,
    router_service,
)
from niyama_operator.manifests.redis_server import redis_deployment
from niyama_operator.manifests.replica_deployment import replica_deployment
from niyama_operator.manifests.router_deployment import router_deployment

__all__ = ["OWNED_KINDS", "all_objects"]

OWNED_KINDS = ("ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount")
"""The kinds of objects that a cluster owns."""


def all_objects(blueprint: Blueprint, *, replica_strategy: Manifest) -> list[Manifest]:
    """Return every object that a cluster is to own; replicas are replaced by the strategy that is right now."""
    spec = blueprint.spec
    objects = [
        _service_account(blueprint),
        config_map(blueprint, Role.ROUTER),
        config_map(blueprint, Role.REPLICA),
        router_service(blueprint),
        headless_service(blueprint, blueprint.routers_service, role=Role.ROUTER),
        headless_service(blueprint, blueprint.replicas_service, role=Role.REPLICA),
        disruption_budget(blueprint, Role.ROUTER),
        disruption_budget(blueprint, Role.REPLICA),
    ]
    if isinstance(spec.redis, EmbeddedRedis):
        objects += [redis_service(blueprint), redis_deployment(blueprint, spec.redis)]
    if spec.security.network_policy:
        objects += _network_policies(blueprint)
    objects += [replica_deployment(blueprint, strategy=replica_strategy), router_deployment(blueprint)]
    return objects


def _service_account(blueprint: Blueprint) -> Manifest:
    """Return the account of all pods, which may do nothing and has no token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": blueprint.metadata(blueprint.spec.name),
        "automountServiceAccountToken": False,
    }


def _network_policies(blueprint: Blueprint) -> list[Manifest]:
    # Replicas that ask for leases serve clients, too, that routers have sent.
    senders = [Role.ROUTER] if blueprint.spec.security.lease_key_secret is None else []
    policies = [network_policy(blueprint, Role.REPLICA, callers=senders, port=GRPC_PORT)]
    if isinstance(blueprint.spec.redis, EmbeddedRedis):
        callers = [Role.ROUTER, Role.REPLICA]
        policies.append(network_policy(blueprint, Role.REDIS, callers=callers, port=REDIS_PORT))
    return policies
