"""The `NiyamaCluster` manifest: what a person declares, parsed into values.

Pure: takes what a YAML reader returned, gives a frozen `ClusterSpec`, or all problems at once, each with the path of
its field. `niyama up`, `niyama validate` and the operator read manifests through this one function.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from niyama_core.manifest_reader import ManifestReader
from niyama_core.placement import PLACEMENTS
from niyama_core.policies import SchedulerSettings
from niyama_core.profiles import profile_name_problem
from niyama_core.qos_section import read_classes, read_scheduler
from niyama_core.slo import QosClasses

__all__ = [
    "API_VERSION",
    "KIND",
    "ClusterSpec",
    "EmbeddedRedis",
    "EngineSpec",
    "EngineType",
    "ExternalRedis",
    "ModelSpec",
    "RouterSpec",
    "parse_cluster",
    "read_redis_url",
]

API_VERSION = "niyama.dev/v1alpha1"
KIND = "NiyamaCluster"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DEFAULT_PROFILE = "a100-llama3-8b"


class EngineType(Enum):
    """What computes tokens."""

    PACED = "paced"
    VLLM = "vllm"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The model.

    Attributes:
        name: name or path, as the engine knows it.
        served_name: what clients call it.
        max_output_tokens: the most tokens that one request may generate.
    """

    name: str
    served_name: str
    max_output_tokens: int


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What computes tokens.

    Attributes:
        type: None when left out: vLLM in a cluster, paced on a laptop.
        profile: name of a latency profile, or the path of a profile file; empty, with vLLM, for what is known of the
            machine or measured at the start.
        speed: how many times as fast as the profile the paced engine runs.
        noise: spread of the paced engine's iteration times, as the sigma of a log-normal factor.
        arguments: vLLM's own, as on its command line.
    """

    type: EngineType | None
    profile: str
    speed: float
    noise: float
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouterSpec:
    """The routers: how many, and the placement policy."""

    replicas: int
    placement: str


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    """A Redis that comes with the cluster."""


@dataclass(frozen=True, slots=True)
class ExternalRedis:
    """A Redis that is there already; `url` may be redis://, rediss:// or unix://."""

    url: str


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

    @property
    def key(self) -> str:
        """namespace/name: how the cluster is called among others."""
        return f"{self.namespace}/{self.name}"


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
    cluster = ClusterSpec(
        name=name,
        namespace=namespace,
        model=_read_model(spec.section("model")),
        engine=_read_engine(spec.section("engine")),
        replicas=spec.integer("replicas", 1, least=0, most=1024),
        qos_classes=read_classes(spec),
        scheduler=read_scheduler(spec.section("scheduler")),
        router=_read_router(spec.section("router")),
        redis=_read_redis(spec.section("redis")),
    )
    spec.refuse_unknown()
    reader.refuse_unknown()
    reader.raise_problems()
    return cluster


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


def _read_model(section: ManifestReader) -> ModelSpec:
    name = section.text("name")
    model = ModelSpec(
        name=name,
        served_name=section.text("servedName", name or "model"),
        max_output_tokens=section.integer("maxOutputTokens", 4096, least=1, most=1_000_000),
    )
    section.refuse_unknown()
    return model


def _read_engine(section: ManifestReader) -> EngineSpec:
    engine_type = section.choice("type", EngineType.PACED) if "type" in section else None
    engine = EngineSpec(
        type=engine_type,
        profile=_read_profile(section, engine_type),
        speed=section.number("speed", 1.0, least=0.01, most=1000.0),
        noise=section.number("noise", 0.0, least=0.0, most=1.0),
        arguments=section.texts("arguments"),
    )
    if engine.profile and (problem := profile_name_problem(engine.profile)):
        section.problem("profile", problem)
    section.refuse_unknown()
    return engine


def _read_profile(section: ManifestReader, engine_type: EngineType | None) -> str:
    if engine_type is EngineType.VLLM:
        return section.text("profile") if "profile" in section else ""
    return section.text("profile", _DEFAULT_PROFILE)


def _read_router(section: ManifestReader) -> RouterSpec:
    placement = section.text("placement", "niyama")
    if placement not in PLACEMENTS:
        section.problem("placement", f"{placement!r} is unknown: choose one of {', '.join(PLACEMENTS)}")
    router = RouterSpec(replicas=section.integer("replicas", 1, least=1, most=64), placement=placement)
    section.refuse_unknown()
    return router


def _read_redis(section: ManifestReader) -> EmbeddedRedis | ExternalRedis:
    if "embedded" in section:
        section.section("embedded").refuse_unknown()
    if "external" not in section:
        section.refuse_unknown()
        return EmbeddedRedis()
    if "embedded" in section:
        section.problem("external", "cannot stand beside embedded: give one of the two")
    external = section.section("external")
    url = read_redis_url(external)
    external.refuse_unknown()
    section.refuse_unknown()
    return ExternalRedis(url)


def read_redis_url(section: ManifestReader) -> str:
    """Read the URL of a Redis, as manifests and role configurations have it."""
    url = section.text("url")
    if url and not url.startswith(("redis://", "rediss://", "unix://")):
        section.problem("url", f"{url!r} is no Redis URL: begin with redis://, rediss:// or unix://")
    return url
