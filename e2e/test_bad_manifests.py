"""Scenario 6: manifests that are wrong are refused in words that name field and fix, or told in conditions."""

from collections.abc import Mapping
from typing import Any

import pytest

from e2e.declared_clusters import NiyamaCluster
from e2e.installation import Installation
from e2e.kubectl import Kubectl
from e2e.programs import ProgramError

CLASS = {"name": "chat", "interactive": {"ttft": "6s"}}
# What is wrong, and words that the refusal must have.
REFUSED: Mapping[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
    "no model": ({"model": None}, ("spec.model",)),
    "model without name": ({"model": {"servedName": "x"}}, ("spec.model.name", "Required")),
    "empty model name": ({"model": {"name": ""}}, ("spec.model.name",)),
    "misspelt field": ({"replica": 2}, ("unknown field", "spec.replica")),
    "misspelt field deep down": ({"router": {"replcas": 2}}, ("unknown field", "spec.router.replcas")),
    "replicas below zero": ({"replicas": -1}, ("spec.replicas", "greater than or equal to 0")),
    "replicas above the bound": ({"replicas": 5000}, ("spec.replicas", "1024")),
    "replicas as text": ({"replicas": "two"}, ("spec.replicas", "integer")),
    "no router": ({"router": {"replicas": 0}}, ("spec.router.replicas",)),
    "unknown engine": ({"engine": {"type": "trt"}}, ("spec.engine.type", "vllm", "paced")),
    "vLLM's arguments for the paced engine": (
        {"engine": {"type": "paced", "arguments": ["--x"]}},
        ("spec.engine.arguments", "set spec.engine.type to vllm"),
    ),
    "speed of zero": ({"engine": {"type": "paced", "speed": 0}}, ("spec.engine.speed",)),
    "unknown dtype": ({"engine": {"dtype": "int3"}}, ("spec.engine.dtype",)),
    "unknown policy": ({"scheduler": {"policy": "fifo"}}, ("spec.scheduler.policy", "sarathi-fcfs")),
    "margin without calibration": (
        {"scheduler": {"marginQuantile": 0.9, "calibrated": False}},
        ("marginQuantile", "set calibrated to true"),
    ),
    "unknown placement": ({"router": {"placement": "random"}}, ("spec.router.placement", "least-loaded")),
    "no class": ({"qosClasses": []}, ("spec.qosClasses", "at least 1")),
    "class of no kind": (
        {"qosClasses": [{"name": "x"}]},
        ("spec.qosClasses[0]", "exactly one of interactive and batch"),
    ),
    "class of both kinds": (
        {"qosClasses": [{**CLASS, "batch": {"ttlt": "1m"}}]},
        ("spec.qosClasses[0]", "exactly one of interactive and batch"),
    ),
    "two defaults": (
        {"qosClasses": [{**CLASS, "default": True}, {**CLASS, "name": "b", "default": True}]},
        ("spec.qosClasses", "more than one class has default: true"),
    ),
    "one name twice": ({"qosClasses": [CLASS, CLASS]}, ("spec.qosClasses[1]", "Duplicate")),
    "duration without unit": (
        {"qosClasses": [{"name": "chat", "interactive": {"ttft": "6"}}]},
        ("spec.qosClasses[0].interactive.ttft",),
    ),
    "interactive without ttft": (
        {"qosClasses": [{"name": "chat", "interactive": {"tbt": "50ms"}}]},
        ("spec.qosClasses[0].interactive.ttft", "Required"),
    ),
    "name with a blank": ({"qosClasses": [{**CLASS, "name": "a b"}]}, ("spec.qosClasses[0].name",)),
    "bounds that exclude the class": (
        {"qosClasses": [{**CLASS, "bounds": {"tightest": 2}}]},
        ("spec.qosClasses[0].bounds.tightest",),
    ),
    "Redis twice": (
        {"redis": {"embedded": {}, "external": {"url": "redis://there"}}},
        ("spec.redis", "give one of the two"),
    ),
    "Redis of no scheme": ({"redis": {"external": {"url": "there:6379"}}}, ("spec.redis.external.url",)),
    "GPUs as a quantity": (
        {"resources": {"limits": {"nvidia.com/gpu": "1"}}},
        ("spec.resources.limits", "say how many GPUs in spec.resources.gpus"),
    ),
    "fewer GPUs than the model is spread over": (
        {"engine": {"type": "vllm", "tensorParallel": 4}, "resources": {"gpus": 2}},
        ("spec.resources.gpus is smaller than spec.engine.tensorParallel",),
    ),
    "quantity that is none": ({"resources": {"limits": {"memory": "much"}}}, ("spec.resources.limits",)),
    "label of the operator's": (
        {"pods": {"labels": {"niyama.dev/cluster": "else"}}},
        ("spec.pods.labels", "that is the operator's"),
    ),
    "unknown service type": ({"router": {"service": {"type": "Ingress"}}}, ("spec.router.service.type",)),
    "unknown strategy": ({"rollout": {"strategy": "bluegreen"}}, ("spec.rollout.strategy", "surge")),
    "volume at no place": (
        {"model": {"name": "m", "volume": {"claimName": "c", "mountPath": "models"}}},
        ("spec.model.volume.mountPath",),
    ),
}
# What no schema can know: taken by the API server, told in the resource's conditions.
TOLD: Mapping[str, tuple[Mapping[str, Any], str, tuple[str, ...]]] = {
    "duration of zero": (
        {"qosClasses": [{"name": "chat", "interactive": {"ttft": "0s"}}]},
        "InvalidSpec",
        ("spec.qosClasses[0].interactive.ttft", "must be a duration above zero"),
    ),
    "unknown profile": (
        {"engine": {"type": "paced", "profile": "h200-of-nobody"}},
        "InvalidSpec",
        ("spec.engine.profile", "h200-of-nobody", "a100-llama3-8b"),
    ),
    "affinity that is none": (
        {"placement": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": 7}}}},
        "ApplyFailed",
        ("Deployment", "requiredDuringSchedulingIgnoredDuringExecution"),
    ),
    "mount of no volume": (
        {"pods": {"volumeMounts": [{"name": "nowhere", "mountPath": "/x"}]}},
        "ApplyFailed",
        ("Deployment", "volumeMounts", "nowhere"),
    ),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_the_api_server_refuses_it(niyama: Installation, namespace: Kubectl, wrong: str) -> None:
    spec, words = REFUSED[wrong]
    with pytest.raises(ProgramError) as refusal:
        NiyamaCluster(namespace, "wrong").declare(**spec)
    for word in words:
        assert word in refusal.value.output


@pytest.mark.parametrize("wrong", TOLD)
def test_the_resource_tells_it(niyama: Installation, namespace: Kubectl, wrong: str) -> None:
    spec, reason, words = TOLD[wrong]
    cluster = NiyamaCluster(namespace, "told").declare(**spec)
    message = cluster.wait_told(reason)
    for word in words:
        assert word in message
    namespace("delete", "nyc", "told")
    assert niyama.operator_restarts() == 0


@pytest.mark.parametrize("name", ["a" * 51, "with.dot"])
def test_a_name_of_which_no_service_can_be_made_is_refused(niyama: Installation, namespace: Kubectl, name: str) -> None:
    with pytest.raises(ProgramError, match=r"metadata\.name"):
        NiyamaCluster(namespace, name).declare()


def test_scale_is_checked_too(niyama: Installation, namespace: Kubectl) -> None:
    cluster = NiyamaCluster(namespace, "scaled").declare(replicas=1)
    with pytest.raises(ProgramError, match="1024"):
        cluster.scale(5000)
    namespace("delete", "nyc", "scaled")
