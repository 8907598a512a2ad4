"""An agent's configuration: one YAML file, rendered by `niyama up` or the operator, parsed with all errors at once.

    cluster: default/llama            # namespace/name, required
    replica: llama-0                  # unique in the cluster, required
    model: llama-3-8b                 # served model name, required
    listen: 127.0.0.1:0               # port 0 takes a free one
    advertise: llama-0.llama:50051    # where routers find it; left out: the address it listens on
    redis: {url: redis://127.0.0.1:6379/0, passwordFile: /etc/redis/password}   # left out: no load board
    engine: {type: paced, profile: a100-llama3-8b, speed: 1.0, noise: 0.0, seed: 0, replay: false}
    # or {type: vllm, model: /models/llama, arguments: [--max-model-len, "8192"], profile: my.yaml, replay: false}
    scheduler: {policy: niyama, alpha: 0.0005, safety: 1.2, tokenBudget: 256, maxTokenBudget: 8192,
                maxNumSeqs: 1000, calibrated: true, marginQuantile: 0.999, fairness: 2}
    limits: {contextTokens: 16384, maxOutputTokens: 4096}
    decisionLog: {path: decisions.jsonl, maxMegabytes: 100, keep: 4}             # left out: none
    iterationRecords: {path: iterations.csv, maxMegabytes: 100, keep: 4}         # left out: none
    metrics: 127.0.0.1:0              # left out: none
    drainGrace: 30s
    log: {level: info, json: false}
    tls: {certificate: tls.crt, key: tls.key, clientCa: ca.crt}                  # left out: insecure
    leaseKeyFile: /etc/niyama-lease/key   # shared with the routers. Left out: whoever calls is served

While the agent runs, changes of `scheduler`, `limits` and `drainGrace` take effect; all else needs a restart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from niyama_core.manifest_reader import ManifestReader
from niyama_core.model_section import EngineType
from niyama_core.policies import SchedulerSettings
from niyama_core.qos_section import read_scheduler
from niyama_runtime.profile_file import ProfileError, find_profile
from niyama_runtime.redis_settings import RedisSettings
from niyama_runtime.role_sections import LogSettings, read_log, read_path, read_redis, read_server_tls
from niyama_runtime.tls import ServerTls

__all__ = [
    "AgentSettings",
    "EngineSettings",
    "EngineType",
    "Limits",
    "RotationSettings",
    "parse_settings",
]

_DEFAULT_PROFILE = "a100-llama3-8b"
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The engine.

    Attributes:
        type: what computes tokens.
        profile: name of the latency profile, or the path of its file; with vLLM empty for one that was stored for the
            model and this machine, or is measured at the start.
        speed: how many times as fast as the profile the paced engine runs.
        noise: standard deviation of the logarithm of the factor on the paced engine's iteration times.
        seed: of the noise.
        replay: whether requests may say how long their answer is.
        model: name or path of the model that vLLM loads; empty for the served name.
        arguments: vLLM's own, as on its command line.
    """

    type: EngineType
    profile: str
    speed: float
    noise: float
    seed: int
    replay: bool
    model: str = ""
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for.

    Attributes:
        context_tokens: the longest prompt plus answer; None for what the engine takes.
        max_output_tokens: the most tokens of an answer, and the cap of a request that names none.
    """

    context_tokens: int | None
    max_output_tokens: int


@dataclass(frozen=True, slots=True)
class RotationSettings:
    """A file that is renamed to `path.1` and begun anew before it exceeds `max_bytes`; `keep` old ones stay."""

    path: Path
    max_bytes: int
    keep: int


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One agent, as its file says; the module's docstring has the fields."""

    cluster: str
    replica: str
    model: str
    listen: str
    advertise: str | None
    redis: RedisSettings | None
    engine: EngineSettings
    scheduler: SchedulerSettings
    limits: Limits
    decision_log: RotationSettings | None
    iteration_records: RotationSettings | None
    metrics: str | None
    drain_grace: float
    log: LogSettings
    tls: ServerTls | None
    lease_key_file: Path | None

    def live_part_from(self, other: "AgentSettings") -> "AgentSettings":
        """Return these settings with what can change while the agent runs taken from `other`."""
        return replace(self, scheduler=other.scheduler, limits=other.limits, drain_grace=other.drain_grace)

    def differences(self, other: "AgentSettings") -> list[str]:
        """Return the names of the fields in which the two differ."""
        names = [field.name for field in fields(self)]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


def parse_settings(document: Mapping[str, object]) -> AgentSettings:
    """Return the settings that a document stands for.

    Raises:
        ManifestError: the document has problems; all of them are in it.
    """
    reader = ManifestReader(document)
    settings = AgentSettings(
        cluster=reader.text("cluster"),
        replica=reader.text("replica"),
        model=reader.text("model"),
        listen=reader.text("listen", "127.0.0.1:0"),
        advertise=_optional_text(reader, "advertise"),
        redis=read_redis(reader),
        engine=_read_engine(reader.section("engine")),
        scheduler=read_scheduler(reader.section("scheduler")),
        limits=_read_limits(reader.section("limits")),
        decision_log=_read_rotation(reader, "decisionLog"),
        iteration_records=_read_rotation(reader, "iterationRecords"),
        metrics=_optional_text(reader, "metrics"),
        drain_grace=reader.duration("drainGrace", 30.0),
        log=read_log(reader),
        tls=read_server_tls(reader),
        lease_key_file=read_path(reader, "leaseKeyFile"),
    )
    reader.refuse_unknown()
    reader.raise_problems()
    return settings


def _optional_text(reader: ManifestReader, key: str) -> str | None:
    return reader.text(key) if key in reader else None


def _read_engine(section: ManifestReader) -> EngineSettings:
    engine_type = section.choice("type", EngineType.PACED)
    engine = EngineSettings(
        type=engine_type,
        profile=_optional_text(section, "profile") or (_DEFAULT_PROFILE if engine_type is EngineType.PACED else ""),
        speed=section.number("speed", 1.0, least=0.01, most=1000.0),
        noise=section.number("noise", 0.0, least=0.0, most=1.0),
        seed=section.integer("seed", 0, least=0, most=2**63 - 1),
        replay=section.flag("replay", False),
        model=_optional_text(section, "model") or "",
        arguments=section.texts("arguments"),
    )
    if engine.profile:
        _check_profile(section, engine.profile)
    section.refuse_unknown()
    return engine


def _check_profile(section: ManifestReader, profile: str) -> None:
    """Note when there is no such profile, or its file is wrong."""
    try:
        find_profile(profile)
    except ProfileError as error:
        section.problem("profile", str(error))


def _read_limits(section: ManifestReader) -> Limits:
    context = section.integer("contextTokens", 0, least=16, most=10_000_000) if "contextTokens" in section else None
    limits = Limits(context, section.integer("maxOutputTokens", 4096, least=1, most=1_000_000))
    section.refuse_unknown()
    return limits


def _read_rotation(reader: ManifestReader, key: str) -> RotationSettings | None:
    if key not in reader:
        return None
    section = reader.section(key)
    megabytes = section.number("maxMegabytes", 100.0, least=0.01, most=100_000.0)
    keep = section.integer("keep", 4, least=0, most=1000)
    settings = RotationSettings(Path(section.text("path")), round(megabytes * _MEGABYTE), keep)
    section.refuse_unknown()
    return settings
