"""Whatever the API server lets through, the operator says what is wrong with it or builds it: it never crashes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from niyama_core.cluster_spec import API_VERSION, KIND, parse_cluster
from niyama_core.manifest_reader import ManifestError
from niyama_operator.checks import check_all
from niyama_operator.manifests.all_objects import all_objects
from niyama_operator.manifests.blueprint import Blueprint
from niyama_operator.observation import Observation
from niyama_operator.pods import TroubleKind
from niyama_operator.rollout import replica_strategy
from niyama_operator.status import broken_status, status_document

from tests.operator import builders
from tests.operator.schema_strategies import values_of

CRD = yaml.safe_load((Path(__file__).parents[2] / "crds" / "niyamaclusters.yaml").read_text())
SPEC = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
DEFAULTS = builders.settings().defaults
SMALLEST: dict[str, Any] = {"model": {"name": "some/model"}}

# A class is of one kind, by a rule in CEL.
classes = st.lists(
    st.builds(
        lambda value, other: {key: item for key, item in value.items() if key not in (other, "default")},
        values_of(SPEC["properties"]["qosClasses"]["items"]),
        st.sampled_from(["interactive", "batch"]),
    ),
    max_size=3,
    unique_by=lambda value: str(value["name"]),
)
SECTIONS = {name: values_of(schema) for name, schema in SPEC["properties"].items()} | {"qosClasses": classes}
# Whole manifests are rarely right in all fields at once; one section in a sound manifest nearly always is.
sections = st.sampled_from(sorted(SECTIONS)).flatmap(
    lambda name: SECTIONS[name].map(lambda value: {**SMALLEST, name: value})
)
observations = st.builds(
    lambda pods, deployments: builders.an_observation(*pods, objects=deployments),
    st.lists(
        st.builds(
            builders.a_pod,
            st.sampled_from(["llama-replica-a", "llama-replica-b"]),
            ready=st.booleans(),
            ending=st.booleans(),
            pending=st.booleans(),
            age=st.floats(0, 1e6),
            trouble=st.none() | st.sampled_from(TroubleKind).map(builders.trouble),
        )
        | st.builds(builders.a_router, ready=st.booleans()),
        max_size=3,
    ),
    st.lists(
        st.builds(
            builders.a_deployment,
            st.sampled_from(["llama-replica", "llama-router", "llama-redis"]),
            spec=st.fixed_dictionaries({"replicas": st.integers(0, 5)}),
            status=st.dictionaries(st.sampled_from(["readyReplicas", "updatedReplicas"]), st.integers(0, 5)),
        ),
        max_size=3,
        unique_by=lambda item: item["metadata"]["name"],
    ),
)


def reconciled(spec: dict[str, Any], observation: Observation) -> list[Any]:
    """Return all that a reconciliation would write for a manifest, as the API server would get it."""
    metadata = {"name": "llama", "namespace": "models"}
    try:
        cluster = parse_cluster({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec})
    except ManifestError:
        return []
    blueprint = Blueprint.of(cluster, builders.UID, defaults=DEFAULTS)
    objects = all_objects(blueprint, replica_strategy=replica_strategy(blueprint, observation))
    findings = check_all(blueprint, observation)
    status = status_document(blueprint, observation, findings=findings, generation=1)
    former = [broken_status(finding, 1, former=status) for finding in findings]
    return [*objects, status, *former]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(sections | values_of(SPEC), observations)
def test_any_manifest_is_built_or_refused_in_words(spec: dict[str, Any], observation: Observation) -> None:
    for document in reconciled(spec, observation):
        json.dumps(document, allow_nan=False)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(sections)
def test_the_same_manifest_always_gives_the_same_objects(spec: dict[str, Any]) -> None:
    observation = builders.an_observation()
    assert reconciled(spec, observation) == reconciled(json.loads(json.dumps(spec)), observation)


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_most_values_of_a_section_can_be_built(name: str) -> None:
    """The strategies would be of no use if the parser refused nearly all that they make."""
    built = []

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(SECTIONS[name])
    def collect(value: Any) -> None:  # noqa: ANN401
        built.append(bool(reconciled({**SMALLEST, name: value}, builders.an_observation())))

    collect()
    assert any(built)
