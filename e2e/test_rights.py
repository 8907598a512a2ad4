"""Scenario 8: the chart's rights suffice, and no more; what is removed leaves nothing, and what is left serves on."""

import os
from pathlib import Path

from e2e.declared_clusters import NiyamaCluster, fresh_namespace
from e2e.figures import Figures
from e2e.installation import SYSTEM, Installation
from e2e.kubectl import Kubectl
from e2e.programs import ROOT
from e2e.traffic import traffic
from e2e.waiting import eventually

GOLDEN = Path(__file__).parent / "golden"


def rights(kubectl: Kubectl, account: str) -> str:
    """Return what a ServiceAccount may do, without what every account may."""
    listed = kubectl("auth", "can-i", "--list", f"--as=system:serviceaccount:{account}", "--no-headers")
    everybodys = rights_of_everybody(kubectl)
    lines = sorted(" ".join(line.split()) for line in listed.splitlines())
    return "\n".join(line for line in lines if line and line not in everybodys) + "\n"


def rights_of_everybody(kubectl: Kubectl) -> set[str]:
    listed = kubectl("auth", "can-i", "--list", "--as=system:serviceaccount:nowhere:nobody", "--no-headers")
    return {" ".join(line.split()) for line in listed.splitlines()}


def compare(name: str, text: str) -> None:
    golden = GOLDEN / name
    if os.environ.get("NIYAMA_UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_accounts_have_the_rights_that_are_written_down(niyama: Installation, namespace: Kubectl) -> None:
    NiyamaCluster(namespace, "rights").declare(replicas=1)
    eventually(lambda: namespace.get("serviceaccount", "rights"), within=30)
    compare("rights-operator.txt", rights(namespace, f"{SYSTEM}:niyama"))
    compare("rights-operator-at-home.txt", rights(niyama.kubectl, f"{SYSTEM}:niyama"))
    compare("rights-cluster.txt", rights(namespace, f"{namespace.namespace}:rights"))
    namespace("delete", "nyc", "rights")


def test_the_chart_tests_itself(niyama: Installation) -> None:
    assert "Succeeded" in niyama.helm("test", "niyama", f"--namespace={SYSTEM}", "--timeout=90s")


def test_clusters_serve_on_without_an_operator_and_leave_nothing(
    niyama: Installation, namespace: Kubectl, figures: Figures
) -> None:
    cluster = NiyamaCluster(namespace, "alone").declare()
    cluster.wait_settled()
    with traffic(cluster.address()) as account:
        niyama.uninstall()
        eventually(lambda: not niyama.kubectl.items("pods"), within=60)
        victim = cluster.pod_names("replica")[0]
        namespace("delete", "pod", victim)
        eventually(lambda: victim not in cluster.pod_names("replica"), within=60)
    figures.add("8 operator uninstalled", account.summary())
    assert (account.errors[:5], account.num_lost) == ([], 0), account.summary()

    namespace("delete", "nyc", "alone")
    eventually(lambda: not cluster.owned() and not cluster.pods(), within=60)
    left = niyama.kubectl.items("clusterroles,clusterrolebindings,customresourcedefinitions")
    ours = [f"{item['kind']}/{item['metadata']['name']}" for item in left if "niyama" in item["metadata"]["name"]]
    assert ours == ["CustomResourceDefinition/niyamaclusters.niyama.dev"]
    niyama.upgrade()


def test_an_operator_of_one_namespace_needs_no_rights_elsewhere(niyama: Installation, kubectl: Kubectl) -> None:
    niyama.uninstall()
    with fresh_namespace(kubectl, "e2e-own") as own:
        niyama.upgrade(namespaces=["e2e-own"])
        cluster = NiyamaCluster(own).declare(replicas=1)
        cluster.wait_settled()
        roles = niyama.kubectl.items("clusterroles,clusterrolebindings")
        assert [item["metadata"]["name"] for item in roles if "niyama" in item["metadata"]["name"]] == []
        own("delete", "nyc", "llama")
        eventually(lambda: not cluster.owned(), within=60)
    niyama.uninstall()
    niyama.upgrade()


def test_examples_are_taken_by_the_api_server(niyama: Installation, namespace: Kubectl) -> None:
    for example in sorted((ROOT / "examples").glob("*.yaml")):
        namespace("apply", "--dry-run=server", "--validate=strict", f"--filename={example}")
