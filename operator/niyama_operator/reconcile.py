"""One reconciliation: from whatever is to what was declared, in one pass that may be repeated at any time.

Parse, observe, build, converge, check, tell. It is level-triggered: nothing depends on what had happened before, so a
change that was missed, an operator that was away and a person's edit are all the same case.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from niyama_core.cluster_spec import parse_cluster
from niyama_core.manifest_reader import ManifestError
from niyama_runtime.clock import Clock

from niyama_operator.apply import AppliedObjects, converge
from niyama_operator.checks import Finding, FindingReason, check_all
from niyama_operator.events import event, news
from niyama_operator.kubernetes_api import ApiError, KubernetesApi
from niyama_operator.manifests.all_objects import all_objects
from niyama_operator.manifests.blueprint import Blueprint, Manifest, Role, fingerprint
from niyama_operator.manifests.configuration import CONFIG_FILE
from niyama_operator.observation import Observation
from niyama_operator.observe import observe
from niyama_operator.rollout import deletion_costs, replica_strategy
from niyama_operator.router_views import RouterViews
from niyama_operator.settings import ClusterDefaults
from niyama_operator.status import broken_status, is_worth_writing, status_document, with_times
from niyama_operator.work_queue import Key

__all__ = ["Reconciler"]

_REFUSED_SECONDS = 15.0
_PENDING_SECONDS = 6.0

_COST = "controller.kubernetes.io/pod-deletion-cost"
_CONFIG = "niyama.dev/configuration"

_log = structlog.get_logger(__name__)


class Reconciler:
    """Brings clusters to what was declared.

    Args:
        api: of Kubernetes.
        defaults: of clusters that say nothing else.
        views: what routers say.
        clock: by which writing of figures is bounded.
    """

    def __init__(self, api: KubernetesApi, defaults: ClusterDefaults, *, views: RouterViews, clock: Clock) -> None:
        """Remember nothing yet; what is remembered only saves requests."""
        self._api = api
        self._defaults = defaults
        self._views = views
        self._clock = clock
        self._applied: dict[Key, AppliedObjects] = {}
        self._told_at: dict[Key, float] = {}

    async def reconcile(self, key: Key) -> float | None:
        """Bring one cluster to what was declared; of one that is gone, the garbage collector does the rest.

        Returns in how many seconds it should be looked at again though nothing may have happened: what was refused may
        succeed then, and a pod that waits for a volume says so in no event that is watched. None for not before it is
        due anyway.

        Raises:
            ApiError: refused.
            ApiUnavailableError: no answer.
        """
        resource = await self._api.get("NiyamaCluster", key.name, namespace=key.namespace)
        if resource is None or "deletionTimestamp" in resource["metadata"]:
            self._forget(key)
            return None
        try:
            spec = parse_cluster(resource)
        except ManifestError as error:
            await self._tell_broken(resource, error)
            return None
        blueprint = Blueprint.of(spec, resource["metadata"]["uid"], defaults=self._defaults)
        observation = await self._observe(key)
        refused = [] if spec.suspend else await self._converge(key, blueprint, observation=observation)
        findings = refused + check_all(blueprint, observation)
        generation = resource["metadata"].get("generation", 0)
        former = resource.get("status") or {}
        status = status_document(blueprint, observation, findings=findings, generation=generation, former=former)
        await self._tell(resource, status)
        if refused:
            return _REFUSED_SECONDS
        return _PENDING_SECONDS if any(pod.pending for pod in observation.pods) else None

    def _forget(self, key: Key) -> None:
        """Drop what is remembered of a cluster that is gone."""
        self._views.forget(key)
        self._applied.pop(key, None)
        self._told_at.pop(key, None)

    async def _observe(self, key: Key) -> Observation:
        observation = await observe(
            self._api,
            key.name,
            namespace=key.namespace,
            now=datetime.now(UTC).timestamp(),
            view=self._views.latest(key),
        )
        self._views.learn(key, observation)
        return observation

    async def _converge(self, key: Key, blueprint: Blueprint, *, observation: Observation) -> list[Finding]:
        await self._prepare_scale_down(key, blueprint, observation=observation)
        wanted = all_objects(blueprint, replica_strategy=replica_strategy(blueprint, observation))
        applied = self._applied.setdefault(key, AppliedObjects())
        findings, changed = await converge(
            self._api, blueprint, wanted=wanted, observation=observation, applied=applied
        )
        await self._hurry_configuration(blueprint, observation, changed=changed)
        return findings

    async def _prepare_scale_down(self, key: Key, blueprint: Blueprint, *, observation: Observation) -> None:
        """Before replicas become fewer, tell Kubernetes which of them have least to do."""
        live = observation.find("Deployment", blueprint.name(Role.REPLICA))
        if live is None or live["spec"].get("replicas", 1) <= blueprint.spec.replicas:
            return
        await self._views.refresh(key)
        fresh = Observation(observation.objects, observation.pods, view=self._views.latest(key))
        for name, cost in deletion_costs(fresh).items():
            await self._annotate(name, blueprint.spec.namespace, annotations={_COST: cost})

    async def _hurry_configuration(
        self, blueprint: Blueprint, observation: Observation, *, changed: list[Manifest]
    ) -> None:
        """Have kubelets look at a changed ConfigMap at once: they would within a minute, and on a changed pod now."""
        for role in (Role.ROUTER, Role.REPLICA):
            for after in changed:
                name = blueprint.name(role)
                before = observation.find("ConfigMap", name)
                if (after["kind"], after["metadata"]["name"]) != ("ConfigMap", name) or before is None:
                    continue
                mark = fingerprint(after["data"].get(CONFIG_FILE))
                for pod in observation.of_role(role):
                    await self._annotate(pod.name, blueprint.spec.namespace, annotations={_CONFIG: mark})

    async def _annotate(self, pod: str, namespace: str, *, annotations: Mapping[str, str]) -> None:
        """Annotate a pod; one that has just gone is passed over."""
        try:
            patch = {"metadata": {"annotations": dict(annotations)}}
            await self._api.merge("Pod", pod, namespace=namespace, patch=patch)
        except ApiError as error:
            if error.status != 404:
                raise

    async def _tell_broken(self, resource: Manifest, error: ManifestError) -> None:
        finding = Finding(FindingReason.INVALID_SPEC, "; ".join(map(str, error.problems))[:2000])
        generation = resource["metadata"].get("generation", 0)
        await self._tell(resource, broken_status(finding, generation, former=resource.get("status") or {}))

    async def _tell(self, resource: Manifest, status: Manifest) -> None:
        """Write the status if that is worth it, and Events of what changed."""
        former: Mapping[str, Any] = resource.get("status") or {}
        metadata = resource["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = with_times(status, former, now=now)
        since = self._clock.now() - self._told_at.get(key, float("-inf"))
        if not is_worth_writing(status, former, seconds_since_last=since):
            return
        manifest = {
            "apiVersion": resource["apiVersion"],
            "kind": resource["kind"],
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "status": status,
        }
        await self._api.apply(manifest, subresource="status")
        self._told_at[key] = self._clock.now()
        for condition in news(status, former):
            await self._tell_event(event(resource, condition, now=now))

    async def _tell_event(self, told: Manifest) -> None:
        """Write an Event; one that is refused, as in a namespace that is ending, is nobody's loss."""
        try:
            await self._api.create(told)
        except ApiError as error:
            _log.info("event_refused", error=str(error))
