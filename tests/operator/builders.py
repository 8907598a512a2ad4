"""Clusters, pods and observations for the operator's tests, with what a test does not speak of filled in."""

from collections.abc import Mapping, Sequence
from typing import Any

from niyama_core.cluster_spec import parse_cluster
from niyama_operator.manifests.all_objects import all_objects
from niyama_operator.manifests.blueprint import Blueprint, Manifest, Role
from niyama_operator.observation import ClassFigures, Observation, RouterView
from niyama_operator.pods import Pod, Trouble, TroubleKind
from niyama_operator.rollout import SURGE
from niyama_operator.settings import OperatorSettings, parse_settings

UID = "11111111-2222-3333-4444-555555555555"


def settings(**fields: object) -> OperatorSettings:
    images = {"router": "niyama-router:1", "agent": "niyama-agent:1", "agentVllm": "niyama-vllm:1", "redis": "valkey:8"}
    return parse_settings({"images": images, "lease": {"namespace": "niyama-system"}, **fields})


def a_blueprint(*, defaults: Mapping[str, object] | None = None, **spec: object) -> Blueprint:
    document = {
        "apiVersion": "niyama.dev/v1alpha1",
        "kind": "NiyamaCluster",
        "metadata": {"name": "llama", "namespace": "models"},
        "spec": {"model": {"name": "some/model"}, **spec},
    }
    return Blueprint.of(parse_cluster(document), UID, defaults=settings(**(defaults or {})).defaults)


def objects_of(blueprint: Blueprint) -> dict[tuple[str, str], Manifest]:
    objects = all_objects(blueprint, replica_strategy=dict(SURGE))
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


def container_of(blueprint: Blueprint, name: str) -> Any:  # noqa: ANN401
    return template_of(blueprint, name)["spec"]["containers"][0]


def template_of(blueprint: Blueprint, name: str) -> Any:  # noqa: ANN401
    return objects_of(blueprint)["Deployment", name]["spec"]["template"]


def a_pod(name: str = "llama-replica-a", **fields: Any) -> Pod:  # noqa: ANN401
    values: dict[str, Any] = {
        "uid": name,
        "role": Role.REPLICA,
        "address": "10.0.0.1",
        "ready": True,
        "ending": False,
        "pending": False,
        "age": 60.0,
        "template_hash": "old",
        "deletion_cost": "",
        "trouble": None,
    }
    return Pod(name=name, **(values | fields))


def a_router(name: str = "llama-router-a", **fields: Any) -> Pod:  # noqa: ANN401
    return a_pod(name, **({"role": Role.ROUTER} | fields))


def trouble(kind: TroubleKind, message: str = "so it is") -> Trouble:
    return Trouble(kind, message)


def a_deployment(name: str = "llama-replica", **parts: Any) -> Manifest:  # noqa: ANN401
    """A live Deployment of one settled replica."""
    settled = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "generation": 1},
        "spec": {"replicas": 1, **parts.get("spec", {})},
        "status": settled | parts.get("status", {}),
    }


def an_observation(
    *pods: Pod,
    objects: Sequence[Manifest] | None = None,
    view: RouterView | None = None,
    **fields: Any,  # noqa: ANN401
) -> Observation:
    return Observation([a_deployment()] if objects is None else objects, pods, view=view, **fields)


def a_view(*classes: tuple[str, int, int], **fields: Any) -> RouterView:  # noqa: ANN401
    return RouterView(tuple(ClassFigures(*figures) for figures in classes), **({"num_asked": 1} | fields))
