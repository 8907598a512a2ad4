"""The parts of a pod's template that all roles share: the restricted security, the configuration's volume, probes.

Every pod passes the restricted Pod Security Standard: no root, no capabilities, a file system that cannot be written
but for what is mounted, and no token, since nobody but the operator speaks to the Kubernetes API.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from niyama_core.model_section import SecretKey
from niyama_core.pod_section import PodOverrides, PodPlacement
from niyama_core.service_sections import ExternalRedis
from niyama_runtime.health import LIVENESS

from niyama_operator.manifests.blueprint import GRPC_PORT, METRICS_PORT, Blueprint, Manifest, Role

__all__ = [
    "CONFIG_FOLDER",
    "LEASE_KEY_FILE",
    "REDIS_PASSWORD_FILE",
    "RESUME_KEY_FILE",
    "container_security",
    "deployment",
    "grpc_probe",
    "node_fields",
    "overlaid",
    "pod_spec",
    "role_ports",
    "shared_mounts",
    "shared_volumes",
]

CONFIG_FOLDER = "/etc/niyama"
REDIS_PASSWORD_FILE = PurePosixPath("/etc/niyama-redis/password")
RESUME_KEY_FILE = PurePosixPath("/etc/niyama-resume/key")
LEASE_KEY_FILE = PurePosixPath("/etc/niyama-lease/key")
_USER = 65532


def deployment(blueprint: Blueprint, role: Role, *, num_pods: int, strategy: Manifest, template: Manifest) -> Manifest:
    """Return a role's Deployment."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": blueprint.metadata(blueprint.name(role), role),
        "spec": {
            "replicas": num_pods,
            "revisionHistoryLimit": 3,
            # Large models load for long; what is wrong is told by the operator, well before.
            "progressDeadlineSeconds": 7200,
            "selector": {"matchLabels": blueprint.selector(role)},
            "strategy": strategy,
            "template": template,
        },
    }


def pod_spec(blueprint: Blueprint, *, container: Manifest, volumes: Sequence[Manifest], grace: int) -> Manifest:
    """Return the spec of a pod with one container, which has `grace` seconds to end."""
    spec: Manifest = {
        "serviceAccountName": blueprint.spec.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "imagePullPolicy": blueprint.defaults.pull_policy.value,
                "securityContext": container_security(),
                # What a container said last is how a model that cannot be loaded is told in the status.
                "terminationMessagePolicy": "FallbackToLogsOnError",
                **container,
            }
        ],
        "volumes": list(volumes),
    }
    if blueprint.defaults.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in blueprint.defaults.pull_secrets]
    return spec


def container_security() -> Manifest:
    """Return the security of every container."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def role_ports() -> list[Manifest]:
    """Return the ports of routers and replicas."""
    return [
        {"name": "grpc", "containerPort": GRPC_PORT, "protocol": "TCP"},
        {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
    ]


def grpc_probe(*, period: int, failures: int, alive: bool = False) -> Manifest:
    """Return a probe of gRPC's own health: whether it serves, or only whether the process lives."""
    grpc: Manifest = {"port": GRPC_PORT, "service": LIVENESS if alive else ""}
    return {"grpc": grpc, "periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": 3}


def node_fields(placement: PodPlacement) -> Manifest:
    """Return the fields of a pod that decide on which nodes it may run; those that say nothing are left out."""
    fields: Manifest = {
        "nodeSelector": dict(placement.node_selector),
        "tolerations": [dict(toleration) for toleration in placement.tolerations],
        "affinity": dict(placement.affinity),
        "topologySpreadConstraints": [dict(item) for item in placement.topology_spread_constraints],
        "priorityClassName": placement.priority_class_name,
        "runtimeClassName": placement.runtime_class_name,
    }
    return {name: value for name, value in fields.items() if value}


def shared_volumes(blueprint: Blueprint, role: Role) -> list[Manifest]:
    """Return the volumes of routers and replicas: configuration, room for temporary files, secrets."""
    volumes: list[Manifest] = [
        {"name": "config", "configMap": {"name": blueprint.name(role)}},
        {"name": "tmp", "emptyDir": {}},
    ]
    for name, (secret, file) in _secrets(blueprint, role).items():
        items = [{"key": secret.key, "path": file.name}]
        volumes.append({"name": name, "secret": {"secretName": secret.name, "items": items}})
    return volumes


def shared_mounts(blueprint: Blueprint, role: Role) -> list[Manifest]:
    """Return where routers and replicas see those volumes."""
    mounts: list[Manifest] = [
        {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    for name, (_, file) in _secrets(blueprint, role).items():
        mounts.append({"name": name, "mountPath": str(file.parent), "readOnly": True})
    return mounts


def _secrets(blueprint: Blueprint, role: Role) -> Mapping[str, tuple[SecretKey, PurePosixPath]]:
    """Return the volumes that hold a value of a Secret, with the file in which it is."""
    spec, found = blueprint.spec, {}
    if isinstance(spec.redis, ExternalRedis) and spec.redis.password_secret is not None:
        found["redis-password"] = (spec.redis.password_secret, REDIS_PASSWORD_FILE)
    if role is Role.ROUTER and spec.security.resume_key_secret is not None:
        found["resume-key"] = (spec.security.resume_key_secret, RESUME_KEY_FILE)
    if spec.security.lease_key_secret is not None:
        found["lease-key"] = (spec.security.lease_key_secret, LEASE_KEY_FILE)
    return found


def overlaid(template: Manifest, overrides: PodOverrides) -> Manifest:
    """Return a template with what the manifest puts over it; entries of a list are added, equal names replaced."""
    metadata, spec = template["metadata"], template["spec"]
    container = dict(spec["containers"][0])
    container["env"] = _merged(container.get("env", ()), overrides.env)
    container["volumeMounts"] = _merged(container.get("volumeMounts", ()), overrides.volume_mounts, key="mountPath")
    if overrides.command:
        container["command"] = list(overrides.command)
    secrets = [*spec.get("imagePullSecrets", ()), *({"name": name} for name in overrides.image_pull_secrets)]
    return {
        "metadata": {
            "labels": {**overrides.labels, **metadata["labels"]},
            "annotations": {**metadata["annotations"], **overrides.annotations},
        },
        "spec": {
            **spec,
            "containers": [container],
            "volumes": _merged(spec["volumes"], overrides.volumes),
            **({"imagePullSecrets": secrets} if secrets else {}),
        },
    }


def _merged(
    ours: Sequence[Mapping[str, object]], theirs: Sequence[Mapping[str, object]], *, key: str = "name"
) -> list[Mapping[str, object]]:
    replaced = {item.get(key) for item in theirs}
    return [item for item in ours if item.get(key) not in replaced] + list(theirs)
