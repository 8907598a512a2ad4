"""Niyama as a person installs it: both charts by helm, from this checkout, with the images that were built from it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from e2e.cluster import Cluster
from e2e.helm import Helm
from e2e.images import Images
from e2e.kubectl import Kubectl
from e2e.programs import ROOT

__all__ = ["SYSTEM", "Installation", "install"]

SYSTEM = "niyama-system"
"""The namespace of the operator."""

_CHARTS = ROOT / "charts"


@dataclass(slots=True)
class Installation:
    """An installed Niyama.

    Attributes:
        kubectl: of the operator's namespace.
        helm: what installed it.
        images: what runs.
        seconds: how long each step took.
    """

    kubectl: Kubectl
    helm: Helm
    images: Images
    seconds: dict[str, float] = field(default_factory=dict)

    def install_crds(self) -> None:
        """Install the resource's chart."""
        self._timed("niyama-crds", lambda: self.helm.install("niyama-crds", _CHARTS / "niyama-crds", namespace=SYSTEM))

    def upgrade(self, **values: Any) -> None:  # noqa: ANN401, as charts take them
        """Install the operator's chart or upgrade it, and wait until it is there."""
        merged = {**self.values(), **values}
        self._timed("niyama", lambda: self.helm.install("niyama", _CHARTS / "niyama", namespace=SYSTEM, values=merged))

    def uninstall(self) -> None:
        """Remove the operator and leave the resource and the clusters."""
        self.helm.uninstall("niyama", namespace=SYSTEM)

    def values(self) -> Mapping[str, Any]:
        """Return the values of the chart: images of this checkout, paced engines for a node without GPUs."""
        registry, _, tagged = self.images.operator.rpartition("/")
        return {
            "images": {"registry": registry, "tag": tagged.partition(":")[2], "redis": self.images.redis},
            "defaults": {"engine": "paced"},
        }

    def operator_pod(self) -> str:
        """Return the name of an operator's pod that has not been told to end."""
        pods = self.kubectl.items("pods", "--selector=app.kubernetes.io/component=operator")
        staying = [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        assert staying, "no operator is there"
        return str(staying[0])

    def operator_restarts(self) -> int:
        """Return how often the operator's container has been started anew."""
        pods = self.kubectl.items("pods", "--selector=app.kubernetes.io/component=operator")
        return sum(int(status["restartCount"]) for pod in pods for status in pod["status"]["containerStatuses"])

    def _timed(self, step: str, do: Any) -> None:  # noqa: ANN401
        began = time.monotonic()
        do()
        self.seconds[step] = time.monotonic() - began


def install(cluster: Cluster) -> Installation:
    """Install both charts, and return what there is then."""
    installation = Installation(cluster.kubectl.within(SYSTEM), cluster.helm, cluster.images)
    installation.install_crds()
    installation.upgrade()
    return installation
