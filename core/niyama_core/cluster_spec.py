"""The `NiyamaCluster` manifest: what a person declares, parsed into values.

Pure: takes what a YAML reader returned, gives a frozen `ClusterSpec`, or all problems at once, each with the path of
its field. `niyama up`, `niyama validate` and the operator read manifests through this one function. The sections are
read in modules of their own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from niyama_core.manifest_reader import ManifestReader
from niyama_core.model_section import EngineSpec, EngineType, ModelSpec, read_engine, read_model
from niyama_core.pod_section import (
    PodOverrides,
    PodPlacement,
    Resources,
    read_overrides,
    read_placement,
    read_resources,
)
from niyama_core.policies import SchedulerSettings
from niyama_core.qos_section import read_classes, read_scheduler
from niyama_core.service_sections import (
    EmbeddedRedis,
    ExternalRedis,
    Observability,
    RolloutSpec,
    RouterSpec,
    Security,
    read_observability,
    read_redis,
    read_rollout,
    read_router,
    read_security,
)
from niyama_core.slo import QosClasses

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "ClusterSpec",
    "EmbeddedRedis",
    "EngineSpec",
    "EngineType",
    "ExternalRedis",
    "ModelSpec",
    "RouterSpec",
    "parse_cluster",
]

GROUP = "niyama.dev"
API_VERSION = f"{GROUP}/v1alpha1"
KIND = "NiyamaCluster"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
# Of no class's promise: a change of classes must not replace pods, as a change of their grace period does.
_DEFAULT_GRACE = 600.0


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A cluster as declared."""

    name: str
    namespace: str
    model: ModelSpec
    engine: EngineSpec
    replicas: int
    qos_classes: QosClasses
    scheduler: SchedulerSettings
    router: RouterSpec
    redis: EmbeddedRedis | ExternalRedis
    resources: Resources = field(default_factory=Resources)
    placement: PodPlacement = field(default_factory=PodPlacement)
    pods: PodOverrides = field(default_factory=PodOverrides)
    rollout: RolloutSpec = field(default_factory=RolloutSpec)
    security: Security = field(default_factory=Security)
    observability: Observability = field(default_factory=Observability)
    suspend: bool = False

    @property
    def key(self) -> str:
        """namespace/name: how the cluster is called among others."""
        return f"{self.namespace}/{self.name}"

    @property
    def num_gpus(self) -> int:
        """GPUs of one replica: as said, else as many as the model is spread over; the paced engine needs none."""
        if self.resources.gpus is not None:
            return self.resources.gpus
        return self.engine.tensor_parallel if self.engine.type is EngineType.VLLM else 0

    @property
    def drain_grace(self) -> float:
        """Seconds that running requests have to finish: as said, else ten minutes."""
        return _DEFAULT_GRACE if self.rollout.drain_grace is None else self.rollout.drain_grace


def parse_cluster(document: object) -> ClusterSpec:
    """Return the cluster that a manifest declares.

    Raises:
        ManifestError: the manifest has problems; all of them are in it.
    """
    reader = ManifestReader(document)
    if not isinstance(document, Mapping):
        reader.problem("document", f"must be a {KIND} manifest, a mapping that begins with apiVersion: {API_VERSION}")
        reader.raise_problems()
    _expect(reader, "apiVersion", expected=API_VERSION)
    _expect(reader, "kind", expected=KIND)
    name, namespace = _read_metadata(reader.section("metadata"))
    spec = reader.section("spec")
    if "spec" not in reader:
        reader.problem("spec", "is required: give at least {model: {name: ...}}")
        reader.raise_problems()
    _ = "status" in reader
    cluster = _read_spec(spec, name, namespace=namespace)
    _check_together(spec, cluster)
    spec.refuse_unknown()
    reader.refuse_unknown()
    reader.raise_problems()
    return cluster


def _read_spec(spec: ManifestReader, name: str, *, namespace: str) -> ClusterSpec:
    return ClusterSpec(
        name=name,
        namespace=namespace,
        model=read_model(spec.section("model")),
        engine=read_engine(spec.section("engine")),
        replicas=spec.integer("replicas", 1, least=0, most=1024),
        qos_classes=read_classes(spec),
        scheduler=read_scheduler(spec.section("scheduler")),
        router=read_router(spec.section("router")),
        redis=read_redis(spec.section("redis")),
        resources=read_resources(spec.section("resources"), with_gpus=True),
        placement=read_placement(spec.section("placement")),
        pods=read_overrides(spec.section("pods")),
        rollout=read_rollout(spec.section("rollout")),
        security=read_security(spec.section("security")),
        observability=read_observability(spec.section("observability")),
        suspend=spec.flag("suspend", False),
    )


def _check_together(spec: ManifestReader, cluster: ClusterSpec) -> None:
    """Note what is wrong only in the light of another field."""
    gpus, parallel = cluster.resources.gpus, cluster.engine.tensor_parallel
    # Nobody spreads a model over one GPU, so none at all may be meant: vLLM runs on processors too.
    if gpus is not None and gpus < parallel and parallel > 1:
        spec.problem("resources.gpus", f"is {gpus}, fewer than engine.tensorParallel ({parallel}): give that many")


def _expect(reader: ManifestReader, key: str, *, expected: str) -> None:
    value = reader.text(key)
    if value and value != expected:
        reader.problem(key, f"must be {expected}, not {value!r}")


def _read_metadata(section: ManifestReader) -> tuple[str, str]:
    names = section.text("name"), section.text("namespace", "default")
    for key, name in zip(("name", "namespace"), names, strict=True):
        if name and (len(name) > 63 or not _NAME.fullmatch(name)):
            fix = "lower-case letters, digits and dashes, a letter or digit at both ends, at most 63"
            section.problem(key, f"{name!r} is no name: use {fix}")
    return names
