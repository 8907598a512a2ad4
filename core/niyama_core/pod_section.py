"""What a manifest says about pods: resources, placement on nodes, and what is put over the operator's own template.

Kubernetes' own types are passed on as they are: the API server knows them better and checks them when they are
applied. Here only their outer form is looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from niyama_core.manifest_reader import ManifestReader

__all__ = [
    "Fields",
    "PodOverrides",
    "PodPlacement",
    "Resources",
    "read_overrides",
    "read_placement",
    "read_resources",
]

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Resources:
    """What one container asks of its node.

    Attributes:
        gpus: how many; None when nothing is said.
        gpu_product: the label `nvidia.com/gpu.product` of nodes that will do; empty for any.
        requests: as in a container.
        limits: as in a container.
    """

    gpus: int | None = None
    gpu_product: str = ""
    requests: Fields = field(default_factory=dict)
    limits: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PodPlacement:
    """On which nodes pods of a role may run, as in a pod."""

    node_selector: Fields = field(default_factory=dict)
    tolerations: Sequence[Fields] = ()
    affinity: Fields = field(default_factory=dict)
    topology_spread_constraints: Sequence[Fields] = ()
    priority_class_name: str = ""
    runtime_class_name: str = ""


@dataclass(frozen=True, slots=True)
class PodOverrides:
    """What is added to the operator's template of a role's pods, or takes the place of a part of it.

    Attributes:
        labels: more labels.
        annotations: more annotations.
        command: in place of the image's own.
        env: more variables of the container.
        volumes: more volumes.
        volume_mounts: where the container sees them.
        image_pull_secrets: names of Secrets with registries' credentials.
    """

    labels: Fields = field(default_factory=dict)
    annotations: Fields = field(default_factory=dict)
    command: tuple[str, ...] = ()
    env: Sequence[Fields] = ()
    volumes: Sequence[Fields] = ()
    volume_mounts: Sequence[Fields] = ()
    image_pull_secrets: tuple[str, ...] = ()


def read_resources(section: ManifestReader, *, with_gpus: bool) -> Resources:
    """Read what a container asks for; only replicas have GPUs."""
    gpus, product = None, ""
    if with_gpus:
        gpus = section.integer("gpus", 1, least=0, most=64) if "gpus" in section else None
        product = section.text("gpuProduct") if "gpuProduct" in section else ""
    resources = Resources(
        gpus=gpus, gpu_product=product, requests=section.mapping("requests"), limits=section.mapping("limits")
    )
    if with_gpus:
        _refuse_gpu_quantities(section, resources)
    section.refuse_unknown()
    return resources


def _refuse_gpu_quantities(section: ManifestReader, resources: Resources) -> None:
    for key, quantities in (("requests", resources.requests), ("limits", resources.limits)):
        if "nvidia.com/gpu" in quantities:
            section.problem(key, "names nvidia.com/gpu: say how many GPUs in spec.resources.gpus")


def read_placement(section: ManifestReader) -> PodPlacement:
    """Read on which nodes pods of a role may run."""
    placement = PodPlacement(
        node_selector=section.mapping("nodeSelector"),
        tolerations=section.mappings("tolerations"),
        affinity=section.mapping("affinity"),
        topology_spread_constraints=section.mappings("topologySpreadConstraints"),
        priority_class_name=section.text("priorityClassName") if "priorityClassName" in section else "",
        runtime_class_name=section.text("runtimeClassName") if "runtimeClassName" in section else "",
    )
    section.refuse_unknown()
    return placement


def read_overrides(section: ManifestReader) -> PodOverrides:
    """Read what is put over the template of a role's pods."""
    overrides = PodOverrides(
        labels=section.mapping("labels"),
        annotations=section.mapping("annotations"),
        command=section.texts("command"),
        env=section.mappings("env"),
        volumes=section.mappings("volumes"),
        volume_mounts=section.mappings("volumeMounts"),
        image_pull_secrets=section.texts("imagePullSecrets"),
    )
    for label in overrides.labels:
        if label.startswith(("niyama.dev/", "app.kubernetes.io/")):
            section.problem("labels", f"sets {label}, which is the operator's: choose another name")
    section.refuse_unknown()
    return overrides
