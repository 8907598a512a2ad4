"""NiyamaClusters as tests handle them: declared, waited for, looked at, spoken to."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from e2e.kubectl import Kubectl
from e2e.waiting import eventually

__all__ = ["NiyamaCluster", "fresh_namespace"]

CLASSES = [
    {"name": "chat", "interactive": {"ttft": "6s", "tbt": "100ms"}, "default": True},
    {"name": "summarise", "batch": {"ttlt": "2m"}},
    {"name": "nightly", "batch": {"ttlt": "10m"}, "importance": "low"},
]
# A cluster of tests starts on a small machine, ends quickly, and has two routers so that one may go.
USUAL: Mapping[str, Any] = {
    "model": {"name": "some/model", "servedName": "some"},
    "qosClasses": CLASSES,
    "replicas": 2,
    "router": {"replicas": 2, "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}}},
    "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
    "rollout": {"drainGrace": "20s"},
}


@dataclass(frozen=True, slots=True)
class NiyamaCluster:
    """One NiyamaCluster.

    Attributes:
        kubectl: of its namespace.
        name: its name.
    """

    kubectl: Kubectl
    name: str = "llama"

    def declare(self, **spec: Any) -> "NiyamaCluster":  # noqa: ANN401, as a manifest has them
        """Apply the usual manifest with these fields of the spec, and return the cluster."""
        self.kubectl.apply(self.manifest(**spec))
        return self

    def manifest(self, **spec: Any) -> Mapping[str, Any]:  # noqa: ANN401
        """Return the usual manifest with these fields of the spec."""
        metadata = {"name": self.name, "namespace": self.kubectl.namespace}
        return {
            "apiVersion": "niyama.dev/v1alpha1",
            "kind": "NiyamaCluster",
            "metadata": metadata,
            "spec": {**USUAL, **spec},
        }

    def scale(self, replicas: int) -> None:
        """Run `kubectl scale`."""
        self.kubectl("scale", f"nyc/{self.name}", f"--replicas={replicas}")

    def resource(self) -> Any:  # noqa: ANN401, a document
        """Return the resource."""
        return self.kubectl.get("nyc", self.name)

    def condition(self, name: str) -> Mapping[str, str]:
        """Return a condition that speaks of the present spec; an empty one when there is none yet."""
        resource = self.resource()
        status = resource.get("status", {})
        if status.get("observedGeneration") != resource["metadata"]["generation"]:
            return {"status": "", "reason": "", "message": ""}
        found = [item for item in status.get("conditions", ()) if item["type"] == name]
        return found[0] if found else {"status": "", "reason": "", "message": ""}

    def wait_settled(self, *, within: float = 90) -> None:
        """Wait until everything that was declared serves, and nothing is on its way or going."""
        eventually(self._is_settled, within=within)

    def wait_told(self, reason: str, *, within: float = 15) -> str:
        """Wait until the cluster says that it is degraded for a reason, and return its words."""
        return str(
            eventually(
                lambda: self.condition("Degraded")["message"] if self.condition("Degraded")["reason"] == reason else "",
                within=within,
            )
        )

    def pods(self, role: str = "") -> Sequence[Any]:
        """Return the pods of a role, or of all."""
        selector = f"niyama.dev/cluster={self.name}"
        return self.kubectl.items(
            "pods", f"--selector={selector},app.kubernetes.io/component={role}" if role else f"--selector={selector}"
        )

    def pod_names(self, role: str) -> list[str]:
        """Return the names of the pods of a role that have not been told to end."""
        return [pod["metadata"]["name"] for pod in self.pods(role) if "deletionTimestamp" not in pod["metadata"]]

    def starts(self, *roles: str) -> Mapping[str, int]:
        """Return how often containers have been started anew, by the uid of their pod."""
        pods = [pod for role in roles for pod in self.pods(role)]
        return {
            pod["metadata"]["uid"]: sum(status["restartCount"] for status in pod["status"].get("containerStatuses", ()))
            for pod in pods
        }

    def owned(self) -> Sequence[Any]:
        """Return all objects that the cluster owns, pods left out."""
        kinds = "configmaps,deployments,networkpolicies,poddisruptionbudgets,services,serviceaccounts"
        return self.kubectl.items(kinds, f"--selector=niyama.dev/cluster={self.name}")

    def address(self) -> str:
        """Return the address of all routers for a client outside of the cluster, which asks the cluster's DNS."""
        dns = self.kubectl.within("kube-system").get("service", "kube-dns")["spec"]["clusterIP"]
        return f"dns://{dns}:53/{self.name}-routers.{self.kubectl.namespace}.svc.cluster.local:50051"

    def _is_settled(self) -> bool:
        ready, progressing = self.condition("Ready"), self.condition("Progressing")
        ending = [pod for pod in self.pods() if "deletionTimestamp" in pod["metadata"]]
        return ready["status"] == "True" and progressing["status"] == "False" and not ending


@contextmanager
def fresh_namespace(kubectl: Kubectl, name: str) -> Iterator[Kubectl]:
    """Make a namespace that enforces the restricted Pod Security Standard, and remove it with all that is in it."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    try:
        yield kubectl.within(name)
    finally:
        within = kubectl.within(name)
        # Clusters first: a namespace that still has pods is looked at again only after half of their grace period.
        within("delete", "nyc", "--all", "--timeout=60s", seconds=70)
        eventually(lambda: not within.items("pods", "--selector=niyama.dev/cluster"), within=90)
        kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")
