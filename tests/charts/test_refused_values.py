"""Values that would be passed over or fail later are refused at once, by a message that names the key."""

import json
from typing import Any

import pytest
import yaml

from tests.charts import helm

CHART = helm.CHARTS / "niyama"
# Taken and not listed: what a parent chart passes on, and a field of Kubernetes that hardly anybody needs.
OPTIONAL = {"global", "claims"}

REFUSED = [
    ({"replica": 2}, "replica"),
    ({"replicas": -1}, "replicas"),
    ({"replicas": "two"}, "replicas"),
    ({"namespaces": "team-a"}, "namespaces"),
    ({"namespaces": ["Team_A"]}, "namespaces"),
    ({"namespaces": ["a", "a"]}, "namespaces"),
    ({"defaults": {"engine": "tgi"}}, "engine"),
    ({"defaults": {"engines": "vllm"}}, "engines"),
    ({"image": {"tag": "1"}}, "image"),
    ({"images": {"registry": ""}}, "registry"),
    ({"images": {"registry": "https://registry.example.com"}}, "registry"),
    ({"images": {"tag": "a b"}}, "tag"),
    ({"images": {"tag": 1.0}}, "tag"),
    ({"images": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    ({"images": {"redis": ""}}, "redis"),
    ({"imagePullSecrets": ["registry"]}, "imagePullSecrets"),
    ({"log": {"level": "loud"}}, "level"),
    ({"log": {"json": "yes"}}, "json"),
    ({"resources": {"cpu": 1}}, "cpu"),
    ({"extraEnv": {"A": "b"}}, "extraEnv"),
    ({"extraEnv": [{"name": "A", "value": 1}]}, "extraEnv"),
    ({"podLabels": {"a": 1}}, "podLabels"),
    ({"rbac": {"create": "true"}}, "create"),
    ({"serviceMonitor": {"interval": "often"}}, "interval"),
    ({"prometheusRule": {"attainmentObjective": 99}}, "attainmentObjective"),
    ({"prometheusRule": {"attainmentObjective": 0.5}}, "attainmentObjective"),
    ({"prometheusRule": {"disabled": ["NiyamaNoSuchAlert"]}}, "disabled"),
    ({"priorityClasses": {"router": 2_000_000_000}}, "router"),
]


@pytest.mark.kubernetes
@pytest.mark.parametrize(("values", "key"), REFUSED, ids=[json.dumps(values) for values, _ in REFUSED])
def test_a_wrong_value_is_refused_by_its_key(values: helm.Values, key: str) -> None:
    assert key in helm.refusal(values)


@pytest.mark.kubernetes
def test_a_parent_chart_may_pass_on_its_globals() -> None:
    assert helm.render({"global": {"anything": 1}}) == helm.render()


def test_the_schema_knows_the_values_and_no_others() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert differences(values, schema, schema["definitions"]) == []


def differences(values: object, part: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    """Keys that only one of the two has; where the schema lists no properties, Kubernetes or the user knows them."""
    described = definitions[part["$ref"].removeprefix("#/definitions/")] if "$ref" in part else part
    properties = described.get("properties")
    if properties is None or not isinstance(values, dict):
        return []
    found = sorted(values.keys() ^ (properties.keys() - OPTIONAL))
    for key in values.keys() & properties.keys():
        found += [f"{key}.{deeper}" for deeper in differences(values[key], properties[key], definitions)]
    return found
