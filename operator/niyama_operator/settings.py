"""The operator's configuration: one YAML file, which the Helm chart renders, parsed with all errors at once.

namespaces: []                      # empty watches all
defaults: {engine: vllm}            # for clusters that name no engine: vllm or paced
images: {router: ..., agent: ..., agentVllm: ..., redis: ...}
imagePullPolicy: IfNotPresent
imagePullSecrets: [registry]        # names of Secrets in the clusters' namespaces
clusterDomain: cluster.local
lease: {namespace: niyama-system, name: niyama-operator}
metrics: 0.0.0.0:9090               # left out: none
health: 0.0.0.0:8080                # left out: none
log: {level: info, json: true}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from niyama_core.manifest_reader import ManifestReader
from niyama_core.model_section import EngineType
from niyama_runtime.role_sections import LogSettings, check_address, read_log

__all__ = ["ClusterDefaults", "Images", "LeaseSettings", "OperatorSettings", "PullPolicy", "parse_settings"]


class PullPolicy(Enum):
    """When images are pulled, as in a container."""

    IF_NOT_PRESENT = "IfNotPresent"
    ALWAYS = "Always"
    NEVER = "Never"


@dataclass(frozen=True, slots=True)
class Images:
    """Full references of the images that clusters run, when their manifest names none."""

    router: str
    agent: str
    agent_vllm: str
    redis: str


@dataclass(frozen=True, slots=True)
class ClusterDefaults:
    """What holds for every cluster that says nothing else.

    Attributes:
        engine: of clusters that name none.
        images: what runs.
        pull_policy: when images are pulled.
        pull_secrets: names of Secrets with registries' credentials, in the clusters' namespaces.
        cluster_domain: the last part of the names of Services.
    """

    engine: EngineType
    images: Images
    pull_policy: PullPolicy
    pull_secrets: tuple[str, ...]
    cluster_domain: str


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """The Lease that one operator at a time holds."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """One operator, as its file says; the module's docstring has the fields."""

    namespaces: tuple[str, ...]
    defaults: ClusterDefaults
    lease: LeaseSettings
    metrics: str | None
    health: str | None
    log: LogSettings


def parse_settings(document: Mapping[str, object]) -> OperatorSettings:
    """Return the settings that a document stands for.

    Raises:
        ManifestError: the document has problems; all of them are in it.
    """
    reader = ManifestReader(document)
    settings = OperatorSettings(
        namespaces=reader.texts("namespaces"),
        defaults=_read_defaults(reader),
        lease=_read_lease(reader.section("lease")),
        metrics=_read_address(reader, "metrics"),
        health=_read_address(reader, "health"),
        log=read_log(reader),
    )
    reader.refuse_unknown()
    reader.raise_problems()
    return settings


def _read_defaults(reader: ManifestReader) -> ClusterDefaults:
    section = reader.section("defaults")
    engine = section.choice("engine", EngineType.VLLM)
    section.refuse_unknown()
    return ClusterDefaults(
        engine=engine,
        images=_read_images(reader.section("images")),
        pull_policy=reader.choice("imagePullPolicy", PullPolicy.IF_NOT_PRESENT),
        pull_secrets=reader.texts("imagePullSecrets"),
        cluster_domain=reader.text("clusterDomain", "cluster.local"),
    )


def _read_images(section: ManifestReader) -> Images:
    images = Images(
        router=section.text("router"),
        agent=section.text("agent"),
        agent_vllm=section.text("agentVllm"),
        redis=section.text("redis"),
    )
    section.refuse_unknown()
    return images


def _read_lease(section: ManifestReader) -> LeaseSettings:
    lease = LeaseSettings(namespace=section.text("namespace"), name=section.text("name", "niyama-operator"))
    section.refuse_unknown()
    return lease


def _read_address(reader: ManifestReader, key: str) -> str | None:
    return check_address(reader, key, address=reader.text(key)) if key in reader else None
