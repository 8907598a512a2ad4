"""Makes what is as it should be: applies what is missing or differs, deletes what is no longer wanted.

Server-side apply writes nothing when nothing differs, but costs a request each time. So what was applied is
remembered together with what the object looked like afterwards: as long as neither has changed, nothing is sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from niyama_operator.checks import Finding, FindingReason
from niyama_operator.kubernetes_api import ApiError, KubernetesApi
from niyama_operator.manifests.blueprint import Blueprint, Manifest, fingerprint
from niyama_operator.observation import Observation

__all__ = ["AppliedObjects", "converge"]

_VOLATILE = ("managedFields", "resourceVersion", "generation")
_VOLATILE_ANNOTATION = "deployment.kubernetes.io/revision"

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class AppliedObjects:
    """What of one cluster was applied, and what it looked like afterwards, by kind and name."""

    known: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def is_settled(self, wanted: Manifest, live: Manifest | None) -> bool:
        """Return whether an object is as it was after it had been applied just so."""
        return live is not None and self.known.get(_key(wanted)) == (fingerprint(wanted), _looks(live))

    def note(self, wanted: Manifest, live: Manifest) -> None:
        """Note that an object was applied, and what the API server made of it."""
        self.known[_key(wanted)] = (fingerprint(wanted), _looks(live))


async def converge(
    api: KubernetesApi,
    blueprint: Blueprint,
    *,
    wanted: Sequence[Manifest],
    observation: Observation,
    applied: AppliedObjects,
) -> tuple[list[Finding], list[Manifest]]:
    """Make a cluster's objects as they should be; return what could not be done, and what was changed.

    Raises:
        ApiUnavailableError: no answer; what has been done stays done.
    """
    findings, changed = [], []
    for manifest in wanted:
        live = observation.find(manifest["kind"], manifest["metadata"]["name"])
        if applied.is_settled(manifest, live):
            continue
        try:
            after = await _apply(api, blueprint, manifest=manifest, is_known=live is not None)
        except (ApiError, _NameTakenError) as error:
            findings.append(_failure(manifest, error))
            continue
        applied.note(manifest, after)
        if live is None or _version(live) != _version(after):
            changed.append(after)
            _log.info("applied", kind=manifest["kind"], name=manifest["metadata"]["name"], cluster=blueprint.spec.key)
    findings += await _delete_unwanted(api, blueprint, wanted=wanted, observation=observation)
    return findings, changed


class _NameTakenError(Exception):
    """An object of that name belongs to somebody else."""


async def _apply(api: KubernetesApi, blueprint: Blueprint, *, manifest: Manifest, is_known: bool) -> Manifest:
    if not is_known:
        metadata = manifest["metadata"]
        there = await api.get(manifest["kind"], metadata["name"], namespace=metadata["namespace"])
        if there is not None and not _is_ours(there, blueprint):
            fix = "rename the cluster, or remove that object"
            raise _NameTakenError(f"an object of that name is there already and is not this cluster's: {fix}")
    return await api.apply(manifest)


async def _delete_unwanted(
    api: KubernetesApi, blueprint: Blueprint, *, wanted: Sequence[Manifest], observation: Observation
) -> list[Finding]:
    keys = {_key(manifest) for manifest in wanted}
    findings = []
    for live in observation.objects:
        metadata = live["metadata"]
        if _key(live) in keys or not _is_ours(live, blueprint) or "deletionTimestamp" in metadata:
            continue
        try:
            await api.delete(live["kind"], metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])
            _log.info("deleted", kind=live["kind"], name=metadata["name"], cluster=blueprint.spec.key)
        except ApiError as error:
            findings.append(_failure(live, error))
    return findings


def _failure(manifest: Manifest, error: Exception) -> Finding:
    return Finding(FindingReason.APPLY_FAILED, f"{manifest['kind']} {manifest['metadata']['name']}: {error}"[:800])


def _is_ours(live: Mapping[str, object], blueprint: Blueprint) -> bool:
    metadata = live.get("metadata")
    owners = metadata.get("ownerReferences", ()) if isinstance(metadata, Mapping) else ()
    return any(owner.get("uid") == blueprint.uid for owner in owners)


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def _version(live: Manifest) -> str:
    return str(live["metadata"].get("resourceVersion", ""))


def _looks(live: Manifest) -> str:
    """Return a fingerprint of all that somebody could have edited."""
    metadata = {key: value for key, value in live["metadata"].items() if key not in _VOLATILE}
    annotations = dict(metadata.get("annotations", {}))
    annotations.pop(_VOLATILE_ANNOTATION, None)
    rest = {key: value for key, value in live.items() if key not in ("status", "metadata", "apiVersion", "kind")}
    return fingerprint({**rest, "metadata": {**metadata, "annotations": annotations}})
