"""Gathers what there is of a cluster from the API server: the only reading that a reconciliation does."""

import asyncio
from collections.abc import Mapping, Sequence

from niyama_operator.kubernetes_api import ApiError, KubernetesApi
from niyama_operator.manifests.all_objects import OWNED_KINDS
from niyama_operator.manifests.blueprint import CLUSTER_LABEL, Manifest
from niyama_operator.observation import Observation, RouterView
from niyama_operator.pods import Pod, read_pod

__all__ = ["observe"]

# So long a pod may take to get its volumes and its network before its events are looked at.
_MOUNT_SECONDS = 5.0
_MOUNT_REASONS = frozenset({"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedMapVolume"})


async def observe(
    api: KubernetesApi, name: str, *, namespace: str, now: float, view: RouterView | None = None
) -> Observation:
    """Return what there is of a cluster; `view` is what its routers said last.

    Raises:
        ApiError: refused.
        ApiUnavailableError: no answer.
    """
    labels = f"{CLUSTER_LABEL}={name}"
    lists = await asyncio.gather(
        *(api.list(kind, namespace=namespace, labels=labels) for kind in (*OWNED_KINDS, "Pod"))
    )
    pods = [pod for pod in (read_pod(document, now) for document in lists[-1]) if pod is not None]
    objects = [item for items in lists[:-1] for item in items]
    problems = await _mount_problems(api, pods, namespace=namespace)
    return Observation(objects, pods, problems, view)


async def _mount_problems(api: KubernetesApi, pods: Sequence[Pod], *, namespace: str) -> Mapping[str, str]:
    """Return what events say of the pods that wait for more than a moment without saying why."""
    waiting = [pod for pod in pods if pod.pending and pod.trouble is None and pod.age > _MOUNT_SECONDS]
    problems = {}
    for pod in waiting[:3]:
        message = await _last_warning(api, pod, namespace=namespace)
        if message:
            problems[pod.name] = message
    return problems


async def _last_warning(api: KubernetesApi, pod: Pod, *, namespace: str) -> str:
    fields = f"involvedObject.uid={pod.uid},type=Warning"
    try:
        events: Sequence[Manifest] = await api.list("Event", namespace=namespace, fields=fields)
    except ApiError:
        return ""
    told = [event for event in events if event.get("reason") in _MOUNT_REASONS]
    if not told:
        return ""
    latest = max(told, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    return " ".join(str(latest.get("message", "")).split())[:500]
