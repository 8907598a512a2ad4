"""Scenario 5: what somebody deletes or edits comes back, and what nobody touches is not written."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from e2e.declared_clusters import NiyamaCluster
from e2e.figures import Figures
from e2e.installation import Installation
from e2e.kubectl import Kubectl
from e2e.waiting import eventually

QUIET_SECONDS = float(os.environ.get("NIYAMA_E2E_QUIET_SECONDS", "45"))

# An edit of each kind that a person might make.
EDITS: Mapping[str, Mapping[str, Any]] = {
    "ConfigMap": {"data": {"config.yaml": "{}"}},
    "Deployment": {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7}}}},
    "NetworkPolicy": {"spec": {"ingress": []}},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 3}},
    "Service": {"spec": {"selector": {"niyama.dev/cluster": "else"}}},
    "ServiceAccount": {"automountServiceAccountToken": True},
}


def marks(cluster: NiyamaCluster) -> dict[tuple[str, str], tuple[str, str]]:
    """Return uid and version of every owned object."""
    return {
        (item["kind"], item["metadata"]["name"]): (item["metadata"]["uid"], item["metadata"]["resourceVersion"])
        for item in cluster.owned()
    }


def is_still(cluster: NiyamaCluster) -> bool:
    """Return whether nothing of a cluster changes for a while: its Deployments' controllers write last."""
    before = marks(cluster)
    time.sleep(5)
    return marks(cluster) == before


def content(document: Mapping[str, Any]) -> str:
    """Return what an object says, without what the API server notes about it."""
    metadata = {key: document["metadata"].get(key) for key in ("labels", "ownerReferences")}
    rest = {key: value for key, value in document.items() if key not in ("metadata", "status")}
    return json.dumps([metadata, rest], sort_keys=True)


def test_every_object_comes_back(niyama: Installation, namespace: Kubectl, figures: Figures) -> None:
    cluster = NiyamaCluster(namespace).declare()
    cluster.wait_settled()
    slowest: dict[str, float] = {}
    for item in cluster.owned():
        kind, name = item["kind"], item["metadata"]["name"]
        if kind == "Service":  # a new one would have another address
            item["spec"] = {key: item["spec"][key] for key in ("selector", "ports")}
        for how in ("edited", "unlabelled", "deleted"):
            began = time.monotonic()
            _disturb(namespace, kind, name, how=how)

            def is_back(kind: str = kind, name: str = name, item: Mapping[str, Any] = item) -> bool:
                now = namespace.get(kind, name)
                if kind == "Service":
                    now["spec"] = {key: now["spec"][key] for key in ("selector", "ports")}
                if kind == "Deployment":
                    return bool(_intent(now) == _intent(item))
                return content(_clean(now)) == content(_clean(item))

            eventually(is_back, within=10, every=0.1)
            slowest[how] = max(slowest.get(how, 0.0), time.monotonic() - began)
    cluster.wait_settled()
    told = ", ".join(f"{how} back within {seconds:.1f} s" for how, seconds in slowest.items())
    figures.add(f"5 drift of {len(cluster.owned())} objects", told)


def _disturb(kubectl: Kubectl, kind: str, name: str, *, how: str) -> None:
    match how:
        case "edited":
            kubectl("patch", kind, name, "--type=merge", f"--patch={json.dumps(EDITS[kind])}")
        case "unlabelled":
            kubectl("label", kind, name, "niyama.dev/cluster-")
        case _:
            kubectl("delete", kind, name, "--wait=false", "--cascade=background")


def _clean(document: Any) -> Any:  # noqa: ANN401
    if document["kind"] == "ServiceAccount":
        document.pop("secrets", None)
    for owner in document["metadata"].get("ownerReferences", ()):
        owner.pop("uid", None)
    return document


def _intent(document: Any) -> Any:  # noqa: ANN401
    """Return what of a Deployment the operator declares, of what the edits change."""
    template = document["spec"]["template"]["spec"]
    return document["metadata"].get("labels"), template["terminationGracePeriodSeconds"], document["spec"]["replicas"]


def test_what_nobody_touches_is_not_written(niyama: Installation, namespace: Kubectl, figures: Figures) -> None:
    cluster = NiyamaCluster(namespace).declare()
    cluster.wait_settled()
    eventually(lambda: is_still(cluster), within=60)
    before, status_before = marks(cluster), cluster.resource()["metadata"]["resourceVersion"]
    former = niyama.operator_pod()
    niyama.kubectl("delete", "pod", former, "--wait=false")
    eventually(lambda: niyama.operator_pod() != former, within=60)
    time.sleep(QUIET_SECONDS)
    assert marks(cluster) == before
    assert cluster.resource()["metadata"]["resourceVersion"] == status_before
    figures.add("5 quiet", f"{QUIET_SECONDS:.0f} s and an operator's restart without a write to {len(before)} objects")
