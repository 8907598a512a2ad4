"""The `model` and `engine` sections of a manifest: what is served, and what computes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from niyama_core.manifest_reader import ManifestReader
from niyama_core.profiles import profile_name_problem

__all__ = [
    "EngineSpec",
    "EngineType",
    "ModelSpec",
    "ModelVolume",
    "SecretKey",
    "engine_arguments",
    "read_engine",
    "read_model",
    "read_secret_key",
]

_DEFAULT_PROFILE = "a100-llama3-8b"
_DTYPES = ("auto", "half", "float16", "bfloat16", "float", "float32")


class EngineType(Enum):
    """What computes tokens."""

    PACED = "paced"
    VLLM = "vllm"


@dataclass(frozen=True, slots=True)
class SecretKey:
    """One value of a Secret in the cluster's namespace."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class ModelVolume:
    """A volume with models: the claim, where it is mounted, and whether replicas may write to it (a cache)."""

    claim: str
    mount_path: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The model.

    Attributes:
        name: name or path, as the engine knows it.
        served_name: what clients call it.
        max_output_tokens: the most tokens that one request may generate.
        max_context_tokens: the longest prompt plus answer; None for what the engine takes.
        revision: branch, tag or commit of a model that is downloaded; empty for the newest.
        hugging_face_secret: the token with which a gated model is downloaded.
        volume: where the model lies, or is kept once downloaded.
    """

    name: str
    served_name: str
    max_output_tokens: int
    max_context_tokens: int | None = None
    revision: str = ""
    hugging_face_secret: SecretKey | None = None
    volume: ModelVolume | None = None


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
        image: of the replicas' containers; empty for the operator's.
        dtype: vLLM's data type of weights and activations; empty for the model's.
        tensor_parallel: over how many GPUs one replica spreads the model.
    """

    type: EngineType | None
    profile: str
    speed: float
    noise: float
    arguments: tuple[str, ...] = ()
    image: str = ""
    dtype: str = ""
    tensor_parallel: int = 1


def read_model(section: ManifestReader) -> ModelSpec:
    """Read the model."""
    name = section.text("name")
    model = ModelSpec(
        name=name,
        served_name=section.text("servedName", name or "model"),
        max_output_tokens=section.integer("maxOutputTokens", 4096, least=1, most=1_000_000),
        max_context_tokens=(
            section.integer("maxContextTokens", 4096, least=16, most=10_000_000)
            if "maxContextTokens" in section
            else None
        ),
        revision=section.text("revision") if "revision" in section else "",
        hugging_face_secret=read_secret_key(section, "huggingFaceSecret", default_key="token"),
        volume=_read_volume(section),
    )
    section.refuse_unknown()
    return model


def read_secret_key(section: ManifestReader, key: str, *, default_key: str) -> SecretKey | None:
    """Read which value of which Secret is meant; None when nothing is said."""
    if key not in section:
        return None
    reference = section.section(key)
    secret = SecretKey(reference.text("name"), reference.text("key", default_key))
    reference.refuse_unknown()
    return secret


def _read_volume(section: ManifestReader) -> ModelVolume | None:
    if "volume" not in section:
        return None
    reader = section.section("volume")
    volume = ModelVolume(
        claim=reader.text("claimName"),
        mount_path=reader.text("mountPath", "/models"),
        read_only=reader.flag("readOnly", True),
    )
    if not volume.mount_path.startswith("/"):
        reader.problem("mountPath", f"must be an absolute path, for example /models, not {volume.mount_path!r}")
    reader.refuse_unknown()
    return volume


def read_engine(section: ManifestReader) -> EngineSpec:
    """Read the engine."""
    engine_type = section.choice("type", EngineType.PACED) if "type" in section else None
    engine = EngineSpec(
        type=engine_type,
        profile=_read_profile(section, engine_type),
        speed=section.number("speed", 1.0, least=0.01, most=1000.0),
        noise=section.number("noise", 0.0, least=0.0, most=1.0),
        arguments=section.texts("arguments"),
        image=section.text("image") if "image" in section else "",
        dtype=section.text("dtype") if "dtype" in section else "",
        tensor_parallel=section.integer("tensorParallel", 1, least=1, most=64),
    )
    if engine.profile and (problem := profile_name_problem(engine.profile)):
        section.problem("profile", problem)
    if engine.dtype and engine.dtype not in _DTYPES:
        section.problem("dtype", f"{engine.dtype!r} is unknown: choose one of {', '.join(_DTYPES)}")
    section.refuse_unknown()
    return engine


def _read_profile(section: ManifestReader, engine_type: EngineType | None) -> str:
    if engine_type is EngineType.VLLM:
        return section.text("profile") if "profile" in section else ""
    return section.text("profile", _DEFAULT_PROFILE)


def engine_arguments(model: ModelSpec, engine: EngineSpec) -> Sequence[str]:
    """Return vLLM's arguments: those that fields stand for, then the manifest's own, which win where both speak."""
    given = _given_by_fields(model, engine)
    return [part for flag, value in given.items() for part in (flag, value)] + list(engine.arguments)


def _given_by_fields(model: ModelSpec, engine: EngineSpec) -> Mapping[str, str]:
    given = {
        "--revision": model.revision,
        "--dtype": engine.dtype,
        "--max-model-len": str(model.max_context_tokens or ""),
        "--tensor-parallel-size": str(engine.tensor_parallel) if engine.tensor_parallel > 1 else "",
    }
    return {flag: value for flag, value in given.items() if value}
