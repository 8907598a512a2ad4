"""The configuration files of routers and agents, rendered from a manifest.

One rendering for all bodies of a cluster: `niyama up` writes these documents into files, the operator into ConfigMaps.
What differs between them, where roles listen and where Redis is, comes as `Surroundings`; what differs from process to
process, its name above all, the caller adds. docs/requests.md shows every field of the router's, the agent's settings
those of the agent's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from niyama_core.cluster_spec import ClusterSpec
from niyama_core.model_section import EngineType, engine_arguments
from niyama_core.qos_section import classes_document, scheduler_document

__all__ = ["AGENT_LIVE_FIELDS", "ROUTER_LIVE_FIELDS", "Surroundings", "agent_document", "router_document"]

AGENT_LIVE_FIELDS = frozenset({"scheduler", "limits", "drainGrace"})
"""What an agent takes over while it runs; a change of any other field needs a restart."""

ROUTER_LIVE_FIELDS = frozenset(
    {
        "model",
        "maxOutputTokens",
        "contextTokens",
        "qosClasses",
        "placement",
        "numRouters",
        "policy",
        "maxMoves",
        "placementWait",
        "drainGrace",
        "replay",
    }
)
"""What a router takes over while it runs; a change of any other field needs a restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a role runs: what its configuration says beside what the manifest declares.

    Attributes:
        listen: host:port of its gRPC server.
        metrics: host:port of its metrics; None without.
        redis: the load board's section.
        drain_grace: seconds that running requests have to finish.
        replay: whether the length of an answer may come with its request.
        log: the section about logs; None for the role's default.
    """

    listen: str
    metrics: str | None
    redis: Mapping[str, object]
    drain_grace: float
    replay: bool = False
    log: Mapping[str, object] | None = None


def router_document(spec: ClusterSpec, around: Surroundings, *, replicas: Mapping[str, object]) -> dict[str, object]:
    """Return the configuration of routers; `replicas` are the fields that say where replicas are without Redis."""
    return {
        **_shared(spec, around),
        "maxOutputTokens": spec.model.max_output_tokens,
        "contextTokens": spec.model.max_context_tokens or 0,
        "qosClasses": classes_document(spec.qos_classes),
        "placement": spec.router.placement,
        "maxMoves": spec.router.max_moves,
        "numRouters": spec.router.replicas,
        "policy": spec.scheduler.policy,
        "replay": around.replay,
        **replicas,
    }


def agent_document(spec: ClusterSpec, around: Surroundings, *, seed: int = 0) -> dict[str, object]:
    """Return the configuration of a replica's agent; `seed` is of the paced engine's noise."""
    limits = {"maxOutputTokens": spec.model.max_output_tokens}
    if spec.model.max_context_tokens is not None:
        limits["contextTokens"] = spec.model.max_context_tokens
    return {
        **_shared(spec, around),
        "engine": _engine_document(spec, around, seed=seed),
        "scheduler": scheduler_document(spec.scheduler),
        "limits": limits,
    }


def _shared(spec: ClusterSpec, around: Surroundings) -> dict[str, object]:
    document: dict[str, object] = {
        "cluster": spec.key,
        "listen": around.listen,
        "model": spec.model.served_name,
        "redis": dict(around.redis),
        "drainGrace": f"{around.drain_grace:.3f}s",
    }
    if around.metrics:
        document["metrics"] = around.metrics
    if around.log:
        document["log"] = dict(around.log)
    return document


def _engine_document(spec: ClusterSpec, around: Surroundings, *, seed: int) -> dict[str, object]:
    engine = spec.engine
    if engine.type is EngineType.VLLM:
        arguments: Sequence[str] = engine_arguments(spec.model, engine)
        return {
            "type": EngineType.VLLM.value,
            "model": spec.model.name,
            "arguments": list(arguments),
            "replay": around.replay,
            **({"profile": engine.profile} if engine.profile else {}),
        }
    return {
        "type": EngineType.PACED.value,
        "profile": engine.profile,
        "speed": engine.speed,
        "noise": engine.noise,
        "seed": seed,
        "replay": around.replay,
    }
