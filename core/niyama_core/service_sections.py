"""The `router`, `redis`, `rollout`, `security` and `observability` sections of a manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from niyama_core.manifest_reader import ManifestReader
from niyama_core.model_section import SecretKey, read_secret_key
from niyama_core.placement import PLACEMENTS
from niyama_core.pod_section import (
    PodOverrides,
    PodPlacement,
    Resources,
    read_overrides,
    read_placement,
    read_resources,
)

__all__ = [
    "LOG_LEVELS",
    "EmbeddedRedis",
    "ExternalRedis",
    "Observability",
    "RolloutSpec",
    "RolloutStrategy",
    "RouterSpec",
    "Security",
    "ServiceSpec",
    "ServiceType",
    "read_observability",
    "read_redis",
    "read_redis_url",
    "read_rollout",
    "read_router",
    "read_security",
]

# With rediss all is by TLS. What is behind each, the connection knows.
_REDIS_SCHEMES = (
    "redis://",
    "rediss://",
    "unix://",
    "redis-sentinel://",
    "rediss-sentinel://",
    "redis-cluster://",
    "rediss-cluster://",
)

LOG_LEVELS = ("debug", "info", "warning", "error")


class ServiceType(Enum):
    """How the routers' Service is reached, as in Kubernetes."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """The Service in front of the routers."""

    type: ServiceType = ServiceType.CLUSTER_IP
    annotations: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RouterSpec:
    """The routers.

    Attributes:
        replicas: how many.
        placement: name of the placement policy.
        max_moves: how often a relegated request may be moved to where it would be on time.
        image: of their containers; empty for the operator's.
        resources: of each.
        service: in front of them.
        nodes: on which nodes they may run.
        max_connection_age: seconds after which a client is asked to connect anew, so that it finds new routers.
        pods: what is put over their template.
    """

    replicas: int
    placement: str
    max_moves: int = 2
    image: str = ""
    resources: Resources = field(default_factory=Resources)
    service: ServiceSpec = field(default_factory=ServiceSpec)
    nodes: PodPlacement = field(default_factory=PodPlacement)
    max_connection_age: float = 300.0
    pods: PodOverrides = field(default_factory=PodOverrides)


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    """A Redis that comes with the cluster; an empty image is the operator's."""

    image: str = ""
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True, slots=True)
class ExternalRedis:
    """A Redis that is there already: one server, a master that Sentinels know, or a cluster; `url` says which."""

    url: str
    password_secret: SecretKey | None = None


class RolloutStrategy(Enum):
    """Which goes first when replicas are replaced."""

    AUTO = "auto"
    SURGE = "surge"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class RolloutSpec:
    """How replicas end and are replaced.

    Attributes:
        strategy: `surge` has the new one ready before the old one goes, which takes a spare GPU; `replace` drains the
            old one first; `auto` is `surge` for as long as there is room.
        drain_grace: seconds that running requests have to finish; None for ten minutes.
    """

    strategy: RolloutStrategy = RolloutStrategy.AUTO
    drain_grace: float | None = None


@dataclass(frozen=True, slots=True)
class Security:
    """Who may reach what, and by what routers know one another.

    Attributes:
        network_policy: whether NetworkPolicies are made.
        resume_key_secret: the key by which routers sign what a client carries from one to another; None signs nothing.
        lease_key_secret: the key by which replicas know whom routers have sent; None serves whoever calls.
    """

    network_policy: bool = True
    resume_key_secret: SecretKey | None = None
    lease_key_secret: SecretKey | None = None


@dataclass(frozen=True, slots=True)
class Observability:
    """How routers and replicas log."""

    log_level: str = "info"
    log_json: bool = True


def read_router(section: ManifestReader) -> RouterSpec:
    """Read the routers."""
    placement = section.text("placement", "niyama")
    if placement not in PLACEMENTS:
        section.problem("placement", f"{placement!r} is unknown: choose one of {', '.join(PLACEMENTS)}")
    router = RouterSpec(
        replicas=section.integer("replicas", 1, least=1, most=64),
        placement=placement,
        image=section.text("image") if "image" in section else "",
        resources=read_resources(section.section("resources"), with_gpus=False),
        service=_read_service(section.section("service")),
        nodes=read_placement(section.section("nodes")),
        max_moves=section.integer("maxMoves", 2, least=0, most=100),
        max_connection_age=section.duration("maxConnectionAge", 300.0),
        pods=read_overrides(section.section("pods")),
    )
    section.refuse_unknown()
    return router


def _read_service(section: ManifestReader) -> ServiceSpec:
    service = ServiceSpec(section.choice("type", ServiceType.CLUSTER_IP), section.mapping("annotations"))
    section.refuse_unknown()
    return service


def read_redis(section: ManifestReader) -> EmbeddedRedis | ExternalRedis:
    """Read which Redis holds the load board."""
    has_embedded, has_external = "embedded" in section, "external" in section
    if has_embedded and has_external:
        section.problem("external", "cannot stand beside embedded: give one of the two")
    redis = _read_external(section.section("external")) if has_external else _read_embedded(section.section("embedded"))
    section.refuse_unknown()
    return redis


def _read_embedded(section: ManifestReader) -> EmbeddedRedis:
    embedded = EmbeddedRedis(
        image=section.text("image") if "image" in section else "",
        resources=read_resources(section.section("resources"), with_gpus=False),
    )
    section.refuse_unknown()
    return embedded


def _read_external(section: ManifestReader) -> ExternalRedis:
    external = ExternalRedis(
        read_redis_url(section), password_secret=read_secret_key(section, "passwordSecret", default_key="password")
    )
    section.refuse_unknown()
    return external


def read_redis_url(section: ManifestReader) -> str:
    """Read the URL of a Redis, as manifests and role configurations have it."""
    url = section.text("url")
    if url and not url.startswith(_REDIS_SCHEMES):
        section.problem("url", f"{url!r} is no Redis URL: begin with {', '.join(_REDIS_SCHEMES)}")
    return url


def read_rollout(section: ManifestReader) -> RolloutSpec:
    """Read how replicas end and are replaced."""
    rollout = RolloutSpec(
        strategy=section.choice("strategy", RolloutStrategy.AUTO),
        drain_grace=section.duration("drainGrace", most=86400.0) if "drainGrace" in section else None,
    )
    section.refuse_unknown()
    return rollout


def read_security(section: ManifestReader) -> Security:
    """Read who may reach what, and by what routers know one another."""
    security = Security(
        network_policy=section.flag("networkPolicy", True),
        resume_key_secret=read_secret_key(section, "resumeKeySecret", default_key="key"),
        lease_key_secret=read_secret_key(section, "leaseKeySecret", default_key="key"),
    )
    section.refuse_unknown()
    return security


def read_observability(section: ManifestReader) -> Observability:
    """Read how routers and replicas log."""
    level = section.text("logLevel", "info")
    if level not in LOG_LEVELS:
        section.problem("logLevel", f"{level!r} is unknown: choose one of {', '.join(LOG_LEVELS)}")
    observability = Observability(level, log_json=section.flag("logJson", True))
    section.refuse_unknown()
    return observability
