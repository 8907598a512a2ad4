"""The cluster that tests run on: one that KUBECONFIG names, or a node of our own.

Either way the tests see the same: kubectl, helm and images that pods can be made from. What
only our own node can do is behind `node`, which is None on another's cluster.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.helm import Helm
from e2e.images import Images, build_images, published_images
from e2e.kubectl import Kubectl
from e2e.node import Node, prepare, running_node

__all__ = ["Cluster", "running_cluster"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """How to speak to a cluster, and which images it can run."""

    kubectl: Kubectl
    helm: Helm
    images: Images
    node: Node | None = None


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Yield the cluster of KUBECONFIG, or one that lives in `folder` while the context lasts."""
    if kubeconfig := os.environ.get("KUBECONFIG"):
        yield Cluster(Kubectl(Path(kubeconfig)), Helm(Path(kubeconfig)), published_images())
        return
    prepare(folder)
    images = build_images()
    with running_node(folder) as node:
        node.load(*images)
        yield Cluster(node.kubectl, Helm(node.kubeconfig, node.bin / "helm"), images, node)
