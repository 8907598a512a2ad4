"""What a release is made of: the operator's configuration file, its rights, and how it is kept safe."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts import helm
from tests.charts.releases import EVERYTHING, NAMESPACED

pytestmark = pytest.mark.kubernetes


def config(values: helm.Values | None = None) -> dict[str, Any]:
    text = helm.only(helm.render(values), "ConfigMap")["data"]["operator.yaml"]
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def pod_of(manifests: list[helm.Manifest]) -> helm.Manifest:
    template: helm.Manifest = helm.only(manifests, "Deployment")["spec"]["template"]
    return template


@pytest.mark.parametrize("chart", ["niyama", "niyama-crds"])
def test_the_chart_passes_lint(chart: str) -> None:
    done = helm.run("lint", "--strict", str(helm.CHARTS / chart), "--kube-version", helm.KUBERNETES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_operator_reads_the_whole_of_its_configuration_from_one_file() -> None:
    assert config() == {
        "namespaces": [],
        "defaults": {"engine": "vllm"},
        "images": {
            "router": "localhost/niyama-router:0.1.0",
            "agent": "localhost/niyama-agent:0.1.0",
            "agentVllm": "localhost/niyama-agent-vllm:0.1.0",
            "redis": "docker.io/valkey/valkey:8.1-alpine",
        },
        "imagePullPolicy": "IfNotPresent",
        "imagePullSecrets": [],
        "clusterDomain": "cluster.local",
        "lease": {"namespace": "niyama-system", "name": "niyama-operator"},
        "metrics": "0.0.0.0:9090",
        "health": "0.0.0.0:8080",
        "log": {"level": "info", "json": True},
    }


def test_images_come_from_one_registry_unless_one_is_named() -> None:
    images = config(EVERYTHING)["images"]
    assert images["router"] == "registry.example.com/niyama/niyama-router:0.1.0-rc.1"
    assert images["agentVllm"].startswith("example.com/vllm@sha256:")
    containers = pod_of(helm.render(EVERYTHING))["spec"]["containers"]
    assert containers[0]["image"] == "registry.example.com/niyama/niyama-operator:0.1.0-rc.1"


def test_secrets_of_the_registry_are_given_to_the_operator_and_told_to_it() -> None:
    assert config(EVERYTHING)["imagePullSecrets"] == ["registry"]
    assert pod_of(helm.render(EVERYTHING))["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_a_changed_configuration_restarts_the_operator_and_nothing_else_does() -> None:
    before = pod_of(helm.render())["metadata"]["annotations"]["checksum/config"]
    assert pod_of(helm.render({"log": {"level": "debug"}}))["metadata"]["annotations"]["checksum/config"] != before
    assert pod_of(helm.render({"replicas": 2})) == pod_of(helm.render())


@pytest.mark.parametrize("values", [{}, NAMESPACED, EVERYTHING], ids=["default", "namespaced", "everything"])
def test_no_rule_has_a_wildcard_or_reads_secrets(values: helm.Values) -> None:
    rules = [rule for manifest in helm.render(values) for rule in manifest.get("rules", [])]
    assert rules
    for rule in rules:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert "secrets" not in rule["resources"]


def test_a_release_for_some_namespaces_has_nothing_of_cluster_scope() -> None:
    manifests = helm.render(NAMESPACED)
    assert [helm.identity(manifest) for manifest in manifests if "namespace" not in manifest["metadata"]] == []
    assert {helm.identity(role)[1:] for role in helm.of_kind(manifests, "Role")} == {
        ("team-a", "niyama"),
        ("team-b", "niyama"),
        ("niyama-system", "niyama-lease"),
    }


def test_each_binding_gives_an_existing_role_to_the_account_of_the_operator() -> None:
    for values in ({}, NAMESPACED, EVERYTHING):
        manifests = helm.render(values)
        there = {helm.identity(manifest) for manifest in manifests}
        account = pod_of(manifests)["spec"]["serviceAccountName"]
        for binding in helm.of_kind(manifests, "ClusterRoleBinding") + helm.of_kind(manifests, "RoleBinding"):
            role = binding["roleRef"]
            assert (role["kind"], binding["metadata"].get("namespace", ""), role["name"]) in there
            assert binding["subjects"] == [
                {"kind": "ServiceAccount", "name": account, "namespace": helm.NAMESPACE},
            ]


def test_rights_of_a_namespaced_operator_are_those_of_a_cluster_wide_one() -> None:
    wide = next(role for role in helm.of_kind(helm.render(), "ClusterRole") if role["metadata"]["name"] == "niyama")
    narrow = [role for role in helm.of_kind(helm.render(NAMESPACED), "Role") if role["metadata"]["name"] == "niyama"]
    assert [role["rules"] for role in narrow] == [wide["rules"], wide["rules"]]


def test_without_roles_of_its_own_a_release_names_an_account_that_is_there() -> None:
    manifests = helm.render({"rbac": {"create": False}, "serviceAccount": {"create": False, "name": "mine"}})
    assert helm.kinds(manifests) == {"ConfigMap", "Deployment", "Lease", "NetworkPolicy", "Pod", "Service"}
    assert pod_of(manifests)["spec"]["serviceAccountName"] == "mine"


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "everything"])
def test_every_pod_meets_the_restricted_pod_security_standard(values: helm.Values) -> None:
    manifests = helm.render(values)
    for pod in (pod_of(manifests)["spec"], helm.only(manifests, "Pod")["spec"]):
        context = pod["securityContext"]
        assert context["runAsNonRoot"]
        assert context["runAsUser"] == 65532
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert [volume for volume in pod.get("volumes", []) if not volume.keys() & {"configMap", "emptyDir"}] == []
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_only_the_operator_has_a_token() -> None:
    manifests = helm.render()
    assert pod_of(manifests)["spec"]["automountServiceAccountToken"] is True
    assert helm.only(manifests, "Pod")["spec"]["automountServiceAccountToken"] is False
    assert helm.only(manifests, "ServiceAccount")["automountServiceAccountToken"] is False


def test_selectors_take_the_operator_and_not_a_cluster_that_is_named_like_the_release() -> None:
    manifests = helm.render({**EVERYTHING, "podLabels": {"app.kubernetes.io/component": "mine"}})
    of_a_replica = {
        "app.kubernetes.io/name": "niyama",
        "app.kubernetes.io/instance": "niyama",
        "app.kubernetes.io/component": "replica",
    }
    labels = pod_of(manifests)["metadata"]["labels"]
    selectors = [
        helm.only(manifests, "Deployment")["spec"]["selector"]["matchLabels"],
        helm.only(manifests, "Service")["spec"]["selector"],
        helm.only(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        helm.only(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= of_a_replica.items()


def test_a_single_operator_does_not_block_the_drain_of_its_node() -> None:
    assert "PodDisruptionBudget" not in helm.kinds(helm.render())
    assert helm.only(helm.render({"replicas": 2}), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_monitors_rules_and_priority_classes_come_when_asked_for() -> None:
    optional = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "PriorityClass"}
    assert not helm.kinds(helm.render()) & optional
    assert helm.kinds(helm.render(EVERYTHING)) >= optional
    assert "NetworkPolicy" not in helm.kinds(helm.render({"networkPolicy": {"enabled": False}}))


def test_clusters_are_scraped_where_they_are_watched() -> None:
    asked = {"podMonitor": {"enabled": True}}
    assert helm.only(helm.render(asked), "PodMonitor")["spec"]["namespaceSelector"] == {"any": True}
    narrow = helm.only(helm.render({**NAMESPACED, **asked}), "PodMonitor")
    assert narrow["spec"]["namespaceSelector"] == {"matchNames": ["team-a", "team-b"]}


def test_long_names_stay_within_what_kubernetes_takes() -> None:
    for manifest in helm.render({"fullnameOverride": "n" * 54}):
        assert len(manifest["metadata"]["name"]) <= 63


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "make images images-vllm REGISTRY="),
        ({}, "examples/minimal.yaml"),
        ({"defaults": {"engine": "paced"}}, "run none"),
        (NAMESPACED, "team-a, team-b"),
    ],
)
def test_the_notes_tell_the_first_steps(values: helm.Values, told: str, tmp_path: Path) -> None:
    assert told in helm.notes(values, tmp_path)


def test_the_notes_do_not_tell_of_building_images_where_there_is_a_registry(tmp_path: Path) -> None:
    assert "make images" not in helm.notes(EVERYTHING, tmp_path)
