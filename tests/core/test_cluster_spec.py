"""The manifest: the smallest that works, everything that can be said, and everything that can be wrong."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.cluster_spec import (
    ClusterSpec,
    EmbeddedRedis,
    EngineType,
    ExternalRedis,
    parse_cluster,
)
from niyama_core.manifest_reader import ManifestError, ManifestReader
from niyama_core.qos_section import classes_document, read_classes, read_scheduler, scheduler_document
from niyama_core.slo import Batch, Bounds, Importance, Interactive, OnOverload, QosClass, QosClasses


def a_manifest(**spec: object) -> dict[str, Any]:
    return {
        "apiVersion": "niyama.dev/v1alpha1",
        "kind": "NiyamaCluster",
        "metadata": {"name": "llama"},
        "spec": {"model": {"name": "meta-llama/Llama-3-8B"}, **spec},
    }


def parse(**spec: object) -> ClusterSpec:
    return parse_cluster(a_manifest(**spec))


def problems(document: object) -> dict[str, str]:
    with pytest.raises(ManifestError) as caught:
        parse_cluster(document)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_a_name_and_a_model_are_enough() -> None:
    cluster = parse()
    assert cluster.key == "default/llama"
    assert cluster.model.served_name == "meta-llama/Llama-3-8B"
    assert cluster.engine.type is None
    assert (cluster.replicas, cluster.router.replicas, cluster.router.placement) == (1, 1, "niyama")
    assert cluster.scheduler.policy == "niyama"
    assert cluster.redis == EmbeddedRedis()
    assert list(cluster.qos_classes.by_name) == ["chat", "summarise", "nightly"]
    assert cluster.qos_classes.default == "chat"


def test_everything_can_be_said() -> None:
    cluster = parse(
        replicas=3,
        engine={"type": "paced", "profile": "a100-llama3-8b", "speed": 4, "noise": 0.1},
        qosClasses=[
            {"name": "chat", "interactive": {"ttft": "2s", "tbt": "50ms"}},
            {
                "name": "nightly",
                "batch": {"ttlt": "30m"},
                "importance": "low",
                "onOverload": "queue",
                "bounds": {"tightest": 1, "loosest": 2},
                "default": True,
            },
        ],
        scheduler={"policy": "sarathi-fcfs", "tokenBudget": 512},
        router={"replicas": 2, "placement": "least-loaded"},
        redis={"external": {"url": "rediss://redis:6380/1"}},
    )
    assert cluster.engine.type is EngineType.PACED
    assert cluster.qos_classes.by_name["chat"].slo == Interactive(2.0, 0.05)
    assert cluster.qos_classes.by_name["nightly"] == QosClass(
        "nightly", Batch(1800.0), Importance.LOW, OnOverload.QUEUE, Bounds(1.0, 2.0)
    )
    assert cluster.qos_classes.default == "nightly"
    assert (cluster.scheduler.policy, cluster.scheduler.token_budget) == ("sarathi-fcfs", 512)
    assert (cluster.router.replicas, cluster.router.placement) == (2, "least-loaded")
    assert cluster.redis == ExternalRedis("rediss://redis:6380/1")


def test_what_kubernetes_adds_is_taken() -> None:
    manifest = a_manifest() | {"status": {"readyReplicas": 1}}
    manifest["metadata"] = {"name": "llama", "namespace": "team", "labels": {"a": "b"}, "uid": "1", "generation": 4}
    assert parse_cluster(manifest).key == "team/llama"


@pytest.mark.parametrize("document", [None, [], "text", 5, {}])
def test_what_is_no_manifest_is_told_how_one_begins(document: object) -> None:
    assert any("niyama.dev/v1alpha1" in message or "is required" in message for message in problems(document).values())


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"model": {}}, "spec.model.name"),
        ({"model": {"name": "m", "maxOutputTokens": 0}}, "spec.model.maxOutputTokens"),
        ({"replicas": -1}, "spec.replicas"),
        ({"replicas": "two"}, "spec.replicas"),
        ({"engine": {"type": "tgi"}}, "spec.engine.type"),
        ({"engine": {"profile": "h100"}}, "spec.engine.profile"),
        ({"engine": {"speed": 0}}, "spec.engine.speed"),
        ({"qosClasses": []}, "spec.qosClasses"),
        ({"qosClasses": {"name": "a"}}, "spec.qosClasses"),
        ({"qosClasses": [{"name": "a"}]}, "spec.qosClasses[0].interactive"),
        ({"qosClasses": [{"name": "a", "batch": {}}]}, "spec.qosClasses[0].batch.ttlt"),
        ({"qosClasses": [{"name": "a", "interactive": {"ttft": 6}}]}, "spec.qosClasses[0].interactive.ttft"),
        ({"qosClasses": [{"name": "a", "interactive": {"ttft": "6s", "ttlt": "1m"}}]},
         "spec.qosClasses[0].interactive.ttlt"),
        ({"qosClasses": [{"name": "a", "batch": {"ttlt": "1m"}, "importance": "vital"}]},
         "spec.qosClasses[0].importance"),
        ({"qosClasses": [{"name": "a", "batch": {"ttlt": "1m"}, "onOverload": "panic"}]},
         "spec.qosClasses[0].onOverload"),
        ({"qosClasses": [{"name": "a", "batch": {"ttlt": "1m"}, "bounds": {"tightest": 2}}]},
         "spec.qosClasses[0].bounds.tightest"),
        ({"qosClasses": [{"name": "größe", "batch": {"ttlt": "1m"}}]}, "spec.qosClasses[0].name"),
        ({"qosClasses": [{"name": "a b", "batch": {"ttlt": "1m"}}]}, "spec.qosClasses[0].name"),
        ({"qosClasses": [{"name": "a" * 64, "batch": {"ttlt": "1m"}}]}, "spec.qosClasses[0].name"),
        ({"qosClasses": [{"name": "a", "batch": {"ttlt": "1m"}}] * 2}, "spec.qosClasses[1].name"),
        ({"qosClasses": [{"name": n, "batch": {"ttlt": "1m"}, "default": True} for n in "ab"]}, "spec.qosClasses"),
        ({"qosClasses": [{"name": f"c{n}", "batch": {"ttlt": "1m"}} for n in range(33)]}, "spec.qosClasses"),
        ({"scheduler": {"policy": "magic"}}, "spec.scheduler.policy"),
        ({"scheduler": {"policy": "qoserve", "marginQuantile": 0.99}}, "spec.scheduler.marginQuantile"),
        ({"scheduler": {"calibrated": True, "marginQuantile": 1}}, "spec.scheduler.marginQuantile"),
        ({"router": {"placement": "magic"}}, "spec.router.placement"),
        ({"router": {"replicas": 0}}, "spec.router.replicas"),
        ({"redis": {"external": {"url": "http://x"}}}, "spec.redis.external.url"),
        ({"redis": {"external": {}}}, "spec.redis.external.url"),
        ({"redis": {"external": {"url": "redis://x"}, "embedded": {}}}, "spec.redis.external"),
        ({"replcas": 2}, "spec.replcas"),
    ],
)  # fmt: skip
def test_a_field_that_is_wrong_is_named_by_its_path(spec: dict[str, Any], path: str) -> None:
    assert list(problems(a_manifest(**spec))) == [path]


@pytest.mark.parametrize("name", ["", "Llama", "-llama", "llama-", "ll ama", "x" * 64, 5])
def test_a_name_that_kubernetes_would_not_take_is_refused(name: object) -> None:
    assert "metadata.name" in problems(a_manifest() | {"metadata": {"name": name}})


@pytest.mark.parametrize(("field", "value"), [("apiVersion", "niyama.dev/v2"), ("kind", "Cluster")])
def test_another_version_or_kind_is_refused(field: str, value: str) -> None:
    assert list(problems(a_manifest() | {field: value})) == [field]


def test_every_mistake_is_said_at_once() -> None:
    manifest = a_manifest(replicas=-1, router={"placement": "magic"}, qosClasses=[{"name": "a"}], zzz=1)
    manifest["metadata"] = {}
    manifest["extra"] = 1
    assert set(problems(manifest)) == {
        "metadata.name",
        "spec.replicas",
        "spec.router.placement",
        "spec.qosClasses[0].interactive",
        "spec.zzz",
        "extra",
    }


seconds = st.floats(0.001, 86400.0).map(lambda value: round(value, 6))
slos = st.builds(Interactive, seconds, seconds) | st.builds(Batch, seconds)
bounds = st.builds(Bounds, st.floats(0.001, 1.0), st.floats(1.0, 1000.0))
qos_classes = st.builds(
    QosClass, st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True), slos,
    st.sampled_from(Importance), st.sampled_from(OnOverload), bounds,
)  # fmt: skip


@given(st.lists(qos_classes, min_size=1, max_size=5, unique_by=lambda each: each.name), st.data())
def test_classes_survive_being_written_and_read(members: list[QosClass], data: st.DataObject) -> None:
    default = data.draw(st.sampled_from([each.name for each in members]))
    classes = QosClasses({each.name: each for each in members}, default)
    reader = ManifestReader({"qosClasses": classes_document(classes)})
    again = read_classes(reader)
    reader.raise_problems()
    assert again == classes
    assert list(again) == list(classes)


@pytest.mark.parametrize("policy", ["niyama", "sarathi-fcfs"])
def test_the_scheduler_survives_being_written_and_read(policy: str) -> None:
    fields = {
        "policy": policy,
        "alpha": 0.002,
        "safety": 1.5,
        "maxNumSeqs": 9,
        "maxTokenBudget": 8192,
        "calibrated": True,
        "marginQuantile": 0.95,
        "fairness": 2.0,
    }
    settings = parse(scheduler=fields).scheduler
    reader = ManifestReader(scheduler_document(settings))
    assert read_scheduler(reader) == settings
    reader.raise_problems()


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
keys = st.sampled_from(
    ["model", "name", "engine", "type", "replicas", "qosClasses", "interactive", "batch", "ttft", "ttlt", "bounds",
     "scheduler", "policy", "router", "placement", "redis", "external", "embedded", "url", "zzz"]
)  # fmt: skip
anything = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5))


@given(anything, anything)
def test_whatever_is_written_is_parsed_or_refused_with_paths(spec: object, metadata: object) -> None:
    try:
        parse_cluster({**a_manifest(), "spec": spec, "metadata": metadata})
    except ManifestError as error:
        unclear = [problem for problem in error.problems if not (problem.path and problem.message)]
    else:
        unclear = []
    assert unclear == []
