"""Talks to the Kubernetes API: the one door to the client library, and the few requests that the operator makes.

Objects are plain mappings, as JSON has them. Paths are put together from a table of the kinds we know, so no
discovery is needed: fewer requests, and no rights beyond those kinds.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from niyama_operator.manifests.blueprint import Manifest

__all__ = ["KINDS", "ApiError", "ApiUnavailableError", "KubernetesApi", "connect"]

FIELD_MANAGER = "niyama-operator"

KINDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "ConfigMap": ("v1", "configmaps"),
        "Deployment": ("apps/v1", "deployments"),
        "Event": ("v1", "events"),
        "Lease": ("coordination.k8s.io/v1", "leases"),
        "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
        "NiyamaCluster": ("niyama.dev/v1alpha1", "niyamaclusters"),
        "Pod": ("v1", "pods"),
        "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
        "Service": ("v1", "services"),
        "ServiceAccount": ("v1", "serviceaccounts"),
    }
)
"""Kind -> API version and plural."""

_TIMEOUT_SECONDS = 10.0
_APPLY: Mapping[str, str] = {"fieldManager": FIELD_MANAGER, "force": "true"}


class ApiError(Exception):
    """The API server refused a request.

    Attributes:
        status: HTTP status.
        reason: Kubernetes' word for it, such as NotFound.
    """

    def __init__(self, status: int, reason: str, *, message: str) -> None:
        """Keep what was said."""
        super().__init__(message)
        self.status = status
        self.reason = reason


class ApiUnavailableError(Exception):
    """The API server did not answer, or not in time; whoever asked tries again later."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: Mapping[str, str]
    body: object = None
    content_type: str = "application/json"


async def connect() -> "KubernetesApi":
    """Return the API of the cluster that this pod is in, or that KUBECONFIG names."""
    if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
        config.load_incluster_config()
    else:
        await config.load_kube_config()
    api = client.ApiClient()
    api.user_agent = "niyama-operator"
    return KubernetesApi(api)


class KubernetesApi:
    """The requests that the operator makes.

    Attributes:
        num_requests: made since the start, by method.
    """

    def __init__(self, api: Any) -> None:  # noqa: ANN401
        """Talk through the client library's `ApiClient`."""
        self._api = api
        self.num_requests: dict[str, int] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def get(self, kind: str, name: str, *, namespace: str) -> Manifest | None:
        """Return an object; None when there is none.

        Raises:
            ApiError: refused.
            ApiUnavailableError: no answer.
        """
        try:
            return await self._send(_Request("GET", _path(kind, namespace, name=name), {}))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, kind: str, *, namespace: str | None, labels: str = "", fields: str = "") -> Sequence[Manifest]:
        """Return the objects that match, of one namespace or of all; each with its kind.

        Raises:
            ApiError: refused.
            ApiUnavailableError: no answer.
        """
        query = {name: value for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}
        answer = await self._send(_Request("GET", _path(kind, namespace), query))
        version = KINDS[kind][0]
        return [{"apiVersion": version, "kind": kind, **item} for item in answer.get("items", [])]

    async def apply(self, manifest: Manifest, *, subresource: str = "") -> Manifest:
        """Make an object as the manifest says (server-side apply, with force), and return it.

        Raises:
            ApiError: refused.
            ApiUnavailableError: no answer.
        """
        metadata = manifest["metadata"]
        path = _path(manifest["kind"], metadata["namespace"], name=metadata["name"])
        path = f"{path}/{subresource}" if subresource else path
        return await self._send(_Request("PATCH", path, _APPLY, manifest, "application/apply-patch+yaml"))

    async def merge(self, kind: str, name: str, *, namespace: str, patch: Manifest) -> Manifest:
        """Change some fields of an object (JSON merge patch), and return it.

        Raises:
            ApiError: refused.
            ApiUnavailableError: no answer.
        """
        path = _path(kind, namespace, name=name)
        return await self._send(_Request("PATCH", path, {}, patch, "application/merge-patch+json"))

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object and return it.

        Raises:
            ApiError: refused; 409 when it is there already.
            ApiUnavailableError: no answer.
        """
        path = _path(manifest["kind"], manifest["metadata"]["namespace"])
        return await self._send(_Request("POST", path, {}, manifest))

    async def replace(self, manifest: Manifest) -> Manifest:
        """Replace an object whose resourceVersion is still that of the manifest, and return it.

        Raises:
            ApiError: refused; 409 when somebody else was first.
            ApiUnavailableError: no answer.
        """
        metadata = manifest["metadata"]
        path = _path(manifest["kind"], metadata["namespace"], name=metadata["name"])
        return await self._send(_Request("PUT", path, {}, manifest))

    async def delete(self, kind: str, name: str, *, namespace: str, uid: str) -> None:
        """Delete an object, and what it owns; one that is gone, or another of that name, is passed over.

        Raises:
            ApiError: refused.
            ApiUnavailableError: no answer.
        """
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._send(_Request("DELETE", _path(kind, namespace, name=name), {}, options))
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def _send(self, request: _Request) -> Manifest:
        self.num_requests[request.method] = self.num_requests.get(request.method, 0) + 1
        headers = {"Accept": "application/json", "Content-Type": request.content_type}
        try:
            serialized = await self._api.param_serialize(
                request.method,
                request.path,
                query_params=list(request.query.items()),
                header_params=headers,
                body=request.body,
                auth_settings=["BearerToken"],
            )
            response = await self._api.call_api(*serialized, _request_timeout=_TIMEOUT_SECONDS)
            content = await response.read()
        except ApiException as error:
            raise ApiUnavailableError(str(error)) from error
        except (OSError, TimeoutError) as error:
            # aiohttp's connection errors are OSErrors.
            raise ApiUnavailableError(f"{type(error).__name__}: {error}") from error
        return _answer(response.status, content)


def _path(kind: str, namespace: str | None, *, name: str = "") -> str:
    version, plural = KINDS[kind]
    parts = ["api" if "/" not in version else "apis", version]
    if namespace is not None:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(plural)
    if name:
        parts.append(quote(name, safe=""))
    return "/" + "/".join(parts)


def _answer(status: int, content: bytes) -> Manifest:
    try:
        document = json.loads(content)
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    if status < 300:
        return document
    message = document.get("message") or content[:200].decode(errors="replace") or f"HTTP status {status}"
    # 500 is how it refuses a manifest whose types it cannot make sense of.
    if status in (429, 502, 503, 504):
        raise ApiUnavailableError(f"{status}: {message}")
    raise ApiError(status, str(document.get("reason") or status), message=str(message))
