"""The resource's schema and the parser say the same: every field, every choice, every default."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from niyama_core.cluster_spec import API_VERSION, GROUP, KIND, parse_cluster
from niyama_core.manifest_reader import ManifestError
from niyama_core.placement import PLACEMENTS
from niyama_core.policies import POLICIES
from niyama_operator.kubernetes_api import KINDS

ROOT = Path(__file__).parents[2]
CRD = yaml.safe_load((ROOT / "crds" / "niyamaclusters.yaml").read_text())
VERSION = CRD["spec"]["versions"][0]
SPEC = VERSION["schema"]["openAPIV3Schema"]["properties"]["spec"]


def fields(schema: Mapping[str, Any], path: str = "spec") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        where = f"{path}.{name}"
        yield where, field
        yield from fields(field.get("items", field), where)


def at(path: str) -> Mapping[str, Any]:
    return dict(fields(SPEC))[path]


def a_manifest(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "llama"}, "spec": dict(spec)}


def with_defaults(schema: Mapping[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """Fill in defaults as the API server does: into objects that are there."""
    for name, field in schema.get("properties", {}).items():
        if name not in value and "default" in field:
            value[name] = field["default"]
        if isinstance(value.get(name), dict):
            with_defaults(field, value[name])
        for item in value[name] if isinstance(value.get(name), list) else ():
            if isinstance(item, dict):
                with_defaults(field["items"], item)
    return value


def test_names_are_those_that_the_code_uses() -> None:
    names = CRD["spec"]["names"]
    assert (CRD["spec"]["group"], names["kind"], f"{GROUP}/{VERSION['name']}") == (GROUP, KIND, API_VERSION)
    assert KINDS[KIND] == (API_VERSION, names["plural"])


def test_every_field_says_what_it_is() -> None:
    whole = VERSION["schema"]["openAPIV3Schema"]["properties"]
    described = [*fields(SPEC), *fields(whole["status"], "status")]
    assert [path for path, field in described if not field.get("description")] == []


def test_choices_are_those_of_the_code() -> None:
    assert at("spec.scheduler.policy")["enum"] == list(POLICIES)
    assert at("spec.router.placement")["enum"] == list(PLACEMENTS)


def test_defaults_are_those_of_the_parser() -> None:
    sections = ("engine", "resources", "placement", "pods", "scheduler", "router", "redis", "rollout", "security")
    bare: dict[str, Any] = {"model": {"name": "m"}, "qosClasses": [{"name": "chat", "interactive": {"ttft": "6s"}}]}
    bare["qosClasses"].append({"name": "jobs", "batch": {"ttlt": "1m"}, "bounds": {}})
    bare |= {section: {} for section in (*sections, "observability")}
    filled = with_defaults(SPEC, json.loads(json.dumps(bare)))
    assert filled != bare
    assert parse_cluster(a_manifest(filled)) == parse_cluster(a_manifest(bare))


def complaints(document: object) -> list[str]:
    try:
        parse_cluster(document)
    except ManifestError as error:
        return [problem.message for problem in error.problems]
    return []


ODD = object()


@pytest.mark.parametrize("path", [path for path, field in fields(SPEC) if "items" not in field])
def test_the_parser_knows_every_field_of_the_schema(path: str) -> None:
    """An odd value brings a complaint about the value, never that there is no such field."""
    names = path.removeprefix("spec.").split(".")
    spec: dict[str, Any] = {"model": {"name": "m"}}
    document = a_manifest(spec)
    here: Any = document["spec"]
    schema: Mapping[str, Any] = SPEC
    for name in names[:-1]:
        schema = schema["properties"][name]
        if "items" in schema:
            here[name] = [{}]
            here, schema = here[name][0], schema["items"]
        else:
            here = here.setdefault(name, {})
    here[names[-1]] = ODD
    assert [message for message in complaints(document) if "is not a field" in message] == []
