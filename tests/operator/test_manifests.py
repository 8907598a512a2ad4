"""What a cluster is built of: golden manifests of the examples, and what each field of the resource changes."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from niyama_core.cluster_spec import parse_cluster
from niyama_operator.manifests.all_objects import OWNED_KINDS, all_objects
from niyama_operator.manifests.blueprint import Blueprint, Role
from niyama_operator.manifests.configuration import CONFIG_FILE, restart_mark
from niyama_operator.rollout import SURGE

from tests.operator.builders import UID, a_blueprint, container_of, objects_of, settings, template_of

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = ("minimal", "niyamacluster", "a100", "multi-tenant")


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_built_as_its_golden_file_says(example: str) -> None:
    document = yaml.safe_load((ROOT / "examples" / f"{example}.yaml").read_text())
    blueprint = Blueprint.of(parse_cluster(document), UID, defaults=settings().defaults)
    built = yaml.safe_dump_all(all_objects(blueprint, replica_strategy=dict(SURGE)), width=110)
    golden = GOLDEN / f"{example}.yaml"
    if os.environ.get("NIYAMA_UPDATE_GOLDEN"):
        golden.write_text(built)
    assert built == golden.read_text(), "if this is meant: NIYAMA_UPDATE_GOLDEN=1 make test ARGS=tests/operator"


def test_every_object_is_owned_labelled_and_of_a_kind_that_is_watched() -> None:
    for (kind, name), manifest in objects_of(a_blueprint(replicas=2)).items():
        assert kind in OWNED_KINDS
        assert manifest["metadata"]["labels"]["niyama.dev/cluster"] == "llama", name
        owner = manifest["metadata"]["ownerReferences"][0]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (UID, True, False), name


@pytest.mark.parametrize("name", ["llama-replica", "llama-router", "llama-redis"])
def test_every_pod_passes_the_restricted_standard_and_has_no_token(name: str) -> None:
    pod = template_of(a_blueprint(), name)["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    security = pod["containers"][0]["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert (security["allowPrivilegeEscalation"], security["readOnlyRootFilesystem"]) == (False, True)


def test_an_engine_that_is_not_named_is_the_operators() -> None:
    vllm, paced = a_blueprint(), a_blueprint(defaults={"defaults": {"engine": "paced"}})
    assert container_of(vllm, "llama-replica")["image"] == "niyama-vllm:1"
    assert container_of(vllm, "llama-replica")["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert container_of(paced, "llama-replica")["image"] == "niyama-agent:1"
    assert "limits" not in container_of(paced, "llama-replica")["resources"]


def test_gpus_bring_their_toleration_and_shared_memory() -> None:
    blueprint = a_blueprint(engine={"type": "vllm", "tensorParallel": 4}, resources={"gpuProduct": "A100"})
    pod = template_of(blueprint, "llama-replica")["spec"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "A100"}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in pod["containers"][0]["volumeMounts"]


def test_a_pods_grace_covers_the_drain() -> None:
    blueprint = a_blueprint(rollout={"drainGrace": "90s"})
    assert template_of(blueprint, "llama-replica")["spec"]["terminationGracePeriodSeconds"] > 90
    assert template_of(blueprint, "llama-router")["spec"]["terminationGracePeriodSeconds"] > 95
    assert template_of(a_blueprint(), "llama-replica")["spec"]["terminationGracePeriodSeconds"] > 600


def test_routers_run_on_the_nodes_that_are_declared_for_them() -> None:
    nodes = {"priorityClassName": "niyama-router", "nodeSelector": {"pool": "cpu"}}
    pod = template_of(a_blueprint(router={"nodes": nodes}), "llama-router")["spec"]
    assert (pod["priorityClassName"], pod["nodeSelector"]) == ("niyama-router", {"pool": "cpu"})
    assert [item["topologyKey"] for item in pod["topologySpreadConstraints"]] == ["kubernetes.io/hostname"]
    assert "nodeSelector" not in template_of(a_blueprint(router={"nodes": nodes}), "llama-replica")["spec"]


@pytest.mark.parametrize(
    ("change", "restarts"),
    [
        ({"qosClasses": [{"name": "only", "batch": {"ttlt": "1m"}}]}, set()),
        ({"scheduler": {"policy": "sarathi-fcfs"}}, set()),
        ({"router": {"placement": "round-robin"}}, set()),
        ({"engine": {"type": "vllm", "arguments": ["--enforce-eager"]}}, {Role.REPLICA}),
        ({"observability": {"logLevel": "debug"}}, {Role.REPLICA, Role.ROUTER}),
        ({"redis": {"external": {"url": "redis://there:6379/0"}}}, {Role.REPLICA, Role.ROUTER}),
    ],
)
def test_only_what_running_pods_cannot_take_over_replaces_them(change: dict[str, Any], restarts: set[Role]) -> None:
    before, after = a_blueprint(), a_blueprint(**change)
    changed = {role for role in (Role.REPLICA, Role.ROUTER) if restart_mark(before, role) != restart_mark(after, role)}
    assert changed == restarts
    templates = {
        role
        for role in (Role.REPLICA, Role.ROUTER)
        if template_of(before, f"llama-{role.value}") != template_of(after, f"llama-{role.value}")
    }
    assert templates == restarts


def test_a_password_comes_from_a_file_and_no_redis_is_built_beside_an_external_one() -> None:
    external = {"url": "redis://there:6379/0", "passwordSecret": {"name": "redis"}}
    objects = objects_of(a_blueprint(redis={"external": external}))
    assert ("Deployment", "llama-redis") not in objects
    assert "/etc/niyama-redis/password" in objects["ConfigMap", "llama-router"]["data"][CONFIG_FILE]
    volumes = objects["Deployment", "llama-router"]["spec"]["template"]["spec"]["volumes"]
    items = [{"key": "password", "path": "password"}]
    assert {"name": "redis-password", "secret": {"secretName": "redis", "items": items}} in volumes


def test_routers_sign_with_the_key_of_a_secret_that_replicas_do_not_see() -> None:
    blueprint = a_blueprint(security={"resumeKeySecret": {"name": "signing"}})
    document = objects_of(blueprint)["ConfigMap", "llama-router"]["data"][CONFIG_FILE]
    assert '"resumeKeyFile": "/etc/niyama-resume/key"' in document
    items = [{"key": "key", "path": "key"}]
    volume = {"name": "resume-key", "secret": {"secretName": "signing", "items": items}}
    assert volume in template_of(blueprint, "llama-router")["spec"]["volumes"]
    assert volume not in template_of(blueprint, "llama-replica")["spec"]["volumes"]


def test_routers_and_replicas_share_the_key_of_leases_and_clients_may_reach_replicas() -> None:
    blueprint = a_blueprint(security={"leaseKeySecret": {"name": "leasing", "key": "hmac"}})
    objects = objects_of(blueprint)
    volume = {"name": "lease-key", "secret": {"secretName": "leasing", "items": [{"key": "hmac", "path": "key"}]}}
    for role in ("llama-router", "llama-replica"):
        assert '"leaseKeyFile": "/etc/niyama-lease/key"' in objects["ConfigMap", role]["data"][CONFIG_FILE]
        assert volume in template_of(blueprint, role)["spec"]["volumes"]
    grpc, _ = objects["NetworkPolicy", "llama-replica"]["spec"]["ingress"]
    assert "from" not in grpc
    grpc, _ = objects_of(a_blueprint())["NetworkPolicy", "llama-replica"]["spec"]["ingress"]
    assert "from" in grpc


def test_overrides_add_to_the_template_and_replace_what_has_the_same_name() -> None:
    pods = {
        "labels": {"team": "ml"},
        "annotations": {"scrape": "yes"},
        "command": ["/opt/venv/bin/niyama-agent"],
        "env": [{"name": "LOGNAME", "value": "else"}, {"name": "MORE", "value": "1"}],
        "volumes": [{"name": "venv", "emptyDir": {}}],
        "volumeMounts": [{"name": "venv", "mountPath": "/opt/venv"}],
        "imagePullSecrets": ["registry"],
    }
    template = template_of(a_blueprint(pods=pods), "llama-replica")
    assert template["metadata"]["labels"]["team"] == "ml"
    assert template["metadata"]["annotations"]["scrape"] == "yes"
    assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    container = template["spec"]["containers"][0]
    assert container["command"] == ["/opt/venv/bin/niyama-agent"]
    assert [item["value"] for item in container["env"] if item["name"] == "LOGNAME"] == ["else"]
    assert {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}} in container["env"]
    assert {"name": "venv", "mountPath": "/opt/venv"} in container["volumeMounts"]


def test_without_network_policies_none_is_built() -> None:
    kinds = {kind for kind, _ in objects_of(a_blueprint(security={"networkPolicy": False}))}
    assert "NetworkPolicy" not in kinds


def test_a_gated_model_gets_its_token_and_a_cache_is_written_to() -> None:
    model = {"name": "m", "huggingFaceSecret": {"name": "hf"}, "volume": {"claimName": "models", "readOnly": False}}
    blueprint = a_blueprint(model=model)
    environment = {item["name"]: item for item in container_of(blueprint, "llama-replica")["env"]}
    assert environment["HF_TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "hf", "key": "token"}}
    assert environment["HF_HOME"]["value"] == "/models/huggingface"
