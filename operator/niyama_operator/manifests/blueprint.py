"""What every builder needs: the declared cluster, the operator's defaults, and who owns the objects.

Names, labels and ports are decided here, once; the charts, the alerts and the runbook speak of them too.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from niyama_core.cluster_spec import API_VERSION, KIND, ClusterSpec
from niyama_core.model_section import EngineType

from niyama_operator.settings import ClusterDefaults

__all__ = [
    "CLUSTER_LABEL",
    "COMPONENT_LABEL",
    "GRPC_PORT",
    "METRICS_PORT",
    "REDIS_PORT",
    "Blueprint",
    "Manifest",
    "Role",
    "fingerprint",
    "selector_text",
]

Manifest = dict[str, Any]

CLUSTER_LABEL = "niyama.dev/cluster"
COMPONENT_LABEL = "app.kubernetes.io/component"
GRPC_PORT = 50051
METRICS_PORT = 9090
REDIS_PORT = 6379


class Role(Enum):
    """What a pod of a cluster does; the value is the component label's and the suffix of names."""

    ROUTER = "router"
    REPLICA = "replica"
    REDIS = "redis"


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A cluster that is to be built.

    Attributes:
        spec: as declared, with the operator's defaults filled in.
        uid: of the NiyamaCluster, which owns everything.
        defaults: the operator's.
    """

    spec: ClusterSpec
    uid: str
    defaults: ClusterDefaults

    @classmethod
    def of(cls, spec: ClusterSpec, uid: str, *, defaults: ClusterDefaults) -> "Blueprint":
        """Return the blueprint of a cluster as declared."""
        if spec.engine.type is None:
            profile = "" if defaults.engine is EngineType.VLLM else spec.engine.profile
            spec = replace(spec, engine=replace(spec.engine, type=defaults.engine, profile=profile))
        return cls(spec, uid, defaults)

    def name(self, role: Role) -> str:
        """Return the name of a role's Deployment, ConfigMap, disruption budget and network policy."""
        return f"{self.spec.name}-{role.value}"

    @property
    def client_service(self) -> str:
        """The Service that clients speak to."""
        return self.spec.name

    @property
    def routers_service(self) -> str:
        """The headless Service with the address of each router, for clients that balance by themselves."""
        return f"{self.spec.name}-routers"

    @property
    def replicas_service(self) -> str:
        """The headless Service with the address of each replica."""
        return f"{self.spec.name}-replicas"

    def host(self, service: str) -> str:
        """Return the full name under which a Service is found."""
        return f"{service}.{self.spec.namespace}.svc.{self.defaults.cluster_domain}"

    def selector(self, role: Role) -> dict[str, str]:
        """Return the labels by which a role's pods are found; they never change."""
        return {CLUSTER_LABEL: self.spec.name, COMPONENT_LABEL: role.value}

    def labels(self, role: Role | None = None) -> dict[str, str]:
        """Return the labels of an object, which may belong to one role."""
        labels = {
            "app.kubernetes.io/name": "niyama",
            "app.kubernetes.io/instance": self.spec.name,
            "app.kubernetes.io/part-of": "niyama",
            "app.kubernetes.io/managed-by": "niyama-operator",
            CLUSTER_LABEL: self.spec.name,
        }
        return labels if role is None else labels | {COMPONENT_LABEL: role.value}

    def metadata(self, name: str, role: Role | None = None) -> Manifest:
        """Return the metadata of an owned object."""
        owner = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.spec.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }
        return {
            "name": name,
            "namespace": self.spec.namespace,
            "labels": self.labels(role),
            "ownerReferences": [owner],
        }


def selector_text(labels: dict[str, str]) -> str:
    """Return labels as a selector in one line."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def fingerprint(value: object) -> str:
    """Return a short text that differs when the value does."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
