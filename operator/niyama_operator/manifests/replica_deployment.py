"""The Deployment of the replicas: pods with one engine and its agent, on GPUs when a model runs."""

import math
from dataclasses import replace

from niyama_core.model_section import EngineType
from niyama_core.pod_section import PodPlacement

from niyama_operator.manifests.blueprint import GRPC_PORT, Blueprint, Manifest, Role
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

__all__ = ["GPU", "REPLICA_MARGIN_SECONDS", "replica_deployment"]

GPU = "nvidia.com/gpu"
REPLICA_MARGIN_SECONDS = 15
"""What a pod's grace period has beyond the drain: closing streams, unloading a model."""

# How long a replica may load its model, in seconds.
_LOADING_SECONDS = 3600
_SHARED_GIBIBYTES = 2
_PROFILES_FOLDER = "/var/lib/niyama"


def replica_deployment(blueprint: Blueprint, *, strategy: Manifest) -> Manifest:
    """Return the replicas' Deployment, replaced by the `strategy` that is right at the moment."""
    template = {
        "metadata": {
            "labels": blueprint.labels(Role.REPLICA),
            "annotations": {"niyama.dev/restart-mark": restart_mark(blueprint, Role.REPLICA)},
        },
        "spec": {
            **pod_spec(
                blueprint,
                container=_container(blueprint),
                volumes=_volumes(blueprint),
                grace=math.ceil(blueprint.spec.drain_grace) + REPLICA_MARGIN_SECONDS,
            ),
            **node_fields(_placement(blueprint)),
        },
    }
    return deployment(
        blueprint,
        Role.REPLICA,
        num_pods=blueprint.spec.replicas,
        strategy=strategy,
        template=overlaid(template, blueprint.spec.pods),
    )


def _container(blueprint: Blueprint) -> Manifest:
    spec = blueprint.spec
    return {
        "name": "agent",
        "image": spec.engine.image or _default_image(blueprint),
        "args": [
            "--config",
            f"{CONFIG_FOLDER}/{CONFIG_FILE}",
            "--replica",
            "$(POD_NAME)",
            "--advertise",
            f"$(POD_IP):{GRPC_PORT}",
        ],
        "env": _environment(blueprint),
        "ports": role_ports(),
        # A port that is not open yet is a failure like any other; paced replicas are there in seconds.
        "startupProbe": grpc_probe(period=1, failures=_LOADING_SECONDS),
        "readinessProbe": grpc_probe(period=2, failures=1),
        "livenessProbe": grpc_probe(period=10, failures=6, alive=True),
        "resources": _resources(blueprint),
        "volumeMounts": _mounts(blueprint),
    }


def _default_image(blueprint: Blueprint) -> str:
    images = blueprint.defaults.images
    return images.agent_vllm if blueprint.spec.engine.type is EngineType.VLLM else images.agent


def _environment(blueprint: Blueprint) -> list[Manifest]:
    environment: list[Manifest] = [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "NIYAMA_PROFILES", "value": f"{_PROFILES_FOLDER}/profiles"},
        # Libraries ask for both, and a user without an entry in /etc/passwd has neither.
        {"name": "HOME", "value": _PROFILES_FOLDER},
        {"name": "LOGNAME", "value": "niyama"},
    ]
    model = blueprint.spec.model
    if model.volume is not None and not model.volume.read_only:
        environment.append({"name": "HF_HOME", "value": f"{model.volume.mount_path}/huggingface"})
    if model.hugging_face_secret is not None:
        secret = model.hugging_face_secret
        reference = {"secretKeyRef": {"name": secret.name, "key": secret.key}}
        environment.append({"name": "HF_TOKEN", "valueFrom": reference})
    return environment


def _resources(blueprint: Blueprint) -> Manifest:
    resources = blueprint.spec.resources
    limits = dict(resources.limits)
    if blueprint.spec.num_gpus:
        limits[GPU] = str(blueprint.spec.num_gpus)
    requests = dict(resources.requests) or {"cpu": "100m", "memory": "128Mi"}
    return {"requests": requests, **({"limits": limits} if limits else {})}


def _volumes(blueprint: Blueprint) -> list[Manifest]:
    volumes = [*shared_volumes(blueprint, Role.REPLICA), {"name": "state", "emptyDir": {}}]
    if blueprint.spec.engine.type is EngineType.VLLM:
        # The processes of one replica, one a GPU, hand tensors to each other through shared memory.
        size = f"{_SHARED_GIBIBYTES * (1 + blueprint.spec.engine.tensor_parallel)}Gi"
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
    model = blueprint.spec.model.volume
    if model is not None:
        claim = {"claimName": model.claim, "readOnly": model.read_only}
        volumes.append({"name": "models", "persistentVolumeClaim": claim})
    return volumes


def _mounts(blueprint: Blueprint) -> list[Manifest]:
    mounts = [*shared_mounts(blueprint, Role.REPLICA), {"name": "state", "mountPath": _PROFILES_FOLDER}]
    if blueprint.spec.engine.type is EngineType.VLLM:
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})
    model = blueprint.spec.model.volume
    if model is not None:
        mounts.append({"name": "models", "mountPath": model.mount_path, "readOnly": model.read_only})
    return mounts


def _placement(blueprint: Blueprint) -> PodPlacement:
    """Return on which nodes replicas may run: as declared, and on those with the GPUs that they ask for."""
    placement, resources = blueprint.spec.placement, blueprint.spec.resources
    selector = dict(placement.node_selector)
    if resources.gpu_product:
        selector["nvidia.com/gpu.product"] = resources.gpu_product
    tolerations = list(placement.tolerations)
    if blueprint.spec.num_gpus:
        tolerations.append({"key": GPU, "operator": "Exists", "effect": "NoSchedule"})
    return replace(placement, node_selector=selector, tolerations=tolerations)
