"""The configuration files of a local cluster's routers and agents.

What belongs into them is rendered by the core, for this machine and for a cluster alike. Writing replaces a file in
one step, because whoever watches it must never see half of it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from niyama_core.cluster_spec import ClusterSpec
from niyama_core.role_documents import Surroundings, agent_document, router_document

from niyama_cli.local_cluster_plan import Layout, LocalOptions, Place

__all__ = ["role_documents", "write_role_files"]

Document = Mapping[str, object]


def role_documents(spec: ClusterSpec, layout: Layout, *, options: LocalOptions) -> dict[Path, Document]:
    """Return what belongs into each file; `spec` has the options applied."""
    documents: dict[Path, Document] = {}
    # Known without Redis too: the cluster starts and goes on while it is away.
    replicas = {"replicas": [replica.address for replica in layout.replicas]}
    for place in layout.routers:
        around = _surroundings(layout, place, options=options)
        documents[place.config_file] = {
            "router": place.name,
            **router_document(spec, around, replicas=replicas),
        }
    for index, place in enumerate(layout.replicas):
        around = _surroundings(layout, place, options=options)
        documents[place.config_file] = {
            "replica": place.name,
            **agent_document(
                _at_speed(spec, options.replica_speeds.get(place.name)), around, seed=options.seed + index
            ),
            **_record_sections(place, options),
        }
    return documents


def _at_speed(spec: ClusterSpec, speed: float | None) -> ClusterSpec:
    return spec if speed is None else replace(spec, engine=replace(spec.engine, speed=speed))


def _surroundings(layout: Layout, place: Place, *, options: LocalOptions) -> Surroundings:
    return Surroundings(
        listen=place.address,
        metrics=place.metrics,
        redis={"url": layout.redis_url},
        drain_grace=options.grace,
        replay=options.replay,
    )


def _record_sections(place: Place, options: LocalOptions) -> Document:
    """Return the sections of the files that a replica writes, where they are asked for."""
    sections = {}
    if options.decision_logs:
        sections["decisionLog"] = {"path": str(options.decision_logs.absolute() / f"{place.name}.jsonl")}
    if options.iteration_records:
        sections["iterationRecords"] = {"path": str(options.iteration_records.absolute() / f"{place.name}.csv")}
    return sections


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
