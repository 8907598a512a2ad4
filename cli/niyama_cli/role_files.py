"""The configuration files of routers and agents, rendered from a manifest: what the operator does in a cluster.

Rendering is pure. Writing replaces a file in one step, because whoever watches it must never see half of it.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from niyama_core.cluster_spec import ClusterSpec, EngineType
from niyama_core.qos_section import classes_document, scheduler_document

from niyama_cli.local_cluster_plan import Layout, LocalOptions, Place

__all__ = ["agent_document", "role_documents", "router_document", "write_role_files"]

Document = Mapping[str, object]


def role_documents(spec: ClusterSpec, layout: Layout, *, options: LocalOptions) -> dict[Path, Document]:
    """Return what belongs into each file; `spec` has the options applied."""
    documents: dict[Path, Document] = {
        place.config_file: router_document(spec, layout, place=place, options=options) for place in layout.routers
    }
    return documents | {
        place.config_file: agent_document(spec, layout, place=place, options=options) for place in layout.replicas
    }


def router_document(spec: ClusterSpec, layout: Layout, *, place: Place, options: LocalOptions) -> dict[str, object]:
    """Return the configuration of one router."""
    return {
        "cluster": spec.key,
        "router": place.name,
        "listen": place.address,
        "model": spec.model.served_name,
        "maxOutputTokens": spec.model.max_output_tokens,
        "qosClasses": classes_document(spec.qos_classes),
        "placement": spec.router.placement,
        "numRouters": spec.router.replicas,
        "policy": spec.scheduler.policy,
        "redis": {"url": layout.redis_url},
        # Known without Redis too: the cluster starts and goes on while it is away.
        "replicas": [replica.address for replica in layout.replicas],
        "drainGrace": f"{options.grace:.3f}s",
        "replay": options.replay,
        **({"metrics": place.metrics} if place.metrics else {}),
    }


def agent_document(spec: ClusterSpec, layout: Layout, *, place: Place, options: LocalOptions) -> dict[str, object]:
    """Return the configuration of one replica's agent."""
    document: dict[str, object] = {
        "cluster": spec.key,
        "replica": place.name,
        "listen": place.address,
        "model": spec.model.served_name,
        "redis": {"url": layout.redis_url},
        "engine": _engine_document(spec, options, index=layout.replicas.index(place)),
        "scheduler": scheduler_document(spec.scheduler),
        "limits": {"maxOutputTokens": spec.model.max_output_tokens},
        "drainGrace": f"{options.grace:.3f}s",
    }
    if place.metrics:
        document["metrics"] = place.metrics
    if options.decision_logs:
        document["decisionLog"] = {"path": str(options.decision_logs.absolute() / f"{place.name}.jsonl")}
    if options.iteration_records:
        document["iterationRecords"] = {"path": str(options.iteration_records.absolute() / f"{place.name}.csv")}
    return document


def _engine_document(spec: ClusterSpec, options: LocalOptions, *, index: int) -> dict[str, object]:
    """Return the engine of replica number `index`, whose noise is another than its neighbours'."""
    engine = spec.engine
    if engine.type is EngineType.VLLM:
        return {
            "type": EngineType.VLLM.value,
            "model": spec.model.name,
            "arguments": list(engine.arguments),
            "replay": options.replay,
            **({"profile": engine.profile} if engine.profile else {}),
        }
    return {
        "type": EngineType.PACED.value,
        "profile": engine.profile,
        "speed": engine.speed,
        "noise": engine.noise,
        "seed": options.seed + index,
        "replay": options.replay,
    }


def write_role_files(documents: Mapping[Path, Document]) -> int:
    """Write the files whose content is another, and return how many those were.

    Raises:
        OSError: a file cannot be written; those before it are.
    """
    return sum(_write(path, json.dumps(document, indent=2) + "\n") for path, document in documents.items())


def _write(path: Path, text: str) -> bool:
    if path.exists() and path.read_text() == text:
        return False
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    os.replace(draft, path)
    return True
