"""Kopf's part: it watches the resource and all owned objects, and says which cluster something happened to.

Only `on.event` handlers, which write nothing: no finalizer that would keep a resource from being deleted while the
operator is away, no annotation. What is to be done is the same whatever happened, so handlers only name the cluster;
the work queue makes one piece of work of many events.
"""

from collections.abc import Callable, Mapping
from typing import Any

import kopf
from niyama_core.cluster_spec import KIND

from niyama_operator.kubernetes_api import KINDS
from niyama_operator.manifests.all_objects import OWNED_KINDS
from niyama_operator.manifests.blueprint import CLUSTER_LABEL
from niyama_operator.work_queue import Key

__all__ = ["build_registry", "build_settings", "owner_of"]

OnCluster = Callable[[Key, bool], None]
OnOwned = Callable[[Key], None]

_WATCH_SECONDS = 240  # an int: it travels as it is


def build_registry(*, on_cluster: OnCluster, on_owned: OnOwned) -> kopf.OperatorRegistry:
    """Return kopf's handlers: `on_cluster` hears of a cluster and whether it is there, `on_owned` of what it owns."""
    registry = kopf.OperatorRegistry()
    group, version = KINDS[KIND][0].split("/")
    seen: dict[Key, object] = {}

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401, kopf's own
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event(group, version, KINDS[KIND][1], registry=registry)
    async def cluster_event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002, ANN401
        key = Key(body["metadata"]["namespace"], body["metadata"]["name"])
        mark = None if type == "DELETED" else _mark(body)
        # What the operator itself writes, the status, is no news to it.
        if mark is None or seen.get(key) != mark or type is None:
            on_cluster(key, mark is not None)
        seen[key] = mark

    for kind in (*OWNED_KINDS, "Pod"):
        _watch(registry, kind, on_owned=on_owned)
    return registry


def _watch(registry: kopf.OperatorRegistry, kind: str, *, on_owned: OnOwned) -> None:
    version, plural = KINDS[kind]
    group, _, version = version.rpartition("/")

    async def owned_event(body: kopf.Body, **_: Any) -> None:  # noqa: ANN401
        key = owner_of(body)
        if key is not None:
            on_owned(key)

    kopf.on.event(group, version, plural, registry=registry, id=f"{plural}_event")(owned_event)


def owner_of(body: Mapping[str, Any]) -> Key | None:
    """Return whose an object is, by its owner or, where another object is between them, by its label."""
    metadata = body["metadata"]
    owners = [owner["name"] for owner in metadata.get("ownerReferences", ()) if owner.get("kind") == KIND]
    name = owners[0] if owners else metadata.get("labels", {}).get(CLUSTER_LABEL)
    return Key(metadata["namespace"], name) if name else None


def _mark(body: Mapping[str, Any]) -> object:
    metadata = body["metadata"]
    return metadata["uid"], metadata.get("generation"), metadata.get("deletionTimestamp")


def build_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: no writes of its own, watches that notice a dead connection, bounded back-off."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.server_timeout = _WATCH_SECONDS
    settings.watching.client_timeout = _WATCH_SECONDS + 30
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = (0.5, 1, 2, 3, 5)
    for kind in (*OWNED_KINDS, "Pod"):
        version, plural = KINDS[kind]
        group = version.rpartition("/")[0]
        # By the server: a label that was taken away must arrive as an end, not as silence.
        settings.watching.label_selectors[f"{plural}.{group}" if group else plural] = CLUSTER_LABEL
    return settings
