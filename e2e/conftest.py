"""What all tests of a cluster share: the cluster, a namespace, and a report when one fails.

Run by `python -m pytest e2e`. The first test waits for the cluster: half a minute, a quarter
of an hour where the node's programs are to be built first.
"""

import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from e2e import report
from e2e.cluster import Cluster, running_cluster
from e2e.kubectl import Kubectl
from e2e.node import Node
from e2e.programs import ROOT, ProgramError

FOLDER = ROOT / "out" / "e2e"
TEST_SECONDS = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder; their limit of time leaves out the making of the cluster."""
    for item in items:
        if item.path.is_relative_to(ROOT / "e2e"):
            item.add_marker(pytest.mark.kubernetes)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TEST_SECONDS, func_only=True))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Yield the cluster; it is the same for all tests of a run."""
    shutil.rmtree(FOLDER / "report", ignore_errors=True)
    with running_cluster(FOLDER) as running:
        yield running


@pytest.fixture
def node(cluster: Cluster) -> Node:
    """Return the node, for tests that do to it what no API offers; they are skipped on another's cluster."""
    if cluster.node is None:
        pytest.skip("needs a node of our own: unset KUBECONFIG")
    return cluster.node


@pytest.fixture
def kubectl(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """Yield kubectl within a new namespace that enforces the restricted Pod Security Standard."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    name = f"{words[:40].rstrip('-')}-{datetime.now(UTC):%H%M%S}"
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": enforced}})
    yield cluster.kubectl.within(name)
    with suppress(ProgramError):  # the test may have taken the API server away and failed
        cluster.kubectl("delete", "namespace", name, "--wait=false", "--request-timeout=10s")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what the cluster was like when a test failed, before its fixtures take it away."""
    result = yield
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if result.failed and call.when != "teardown" and isinstance(cluster, Cluster):
        logs = cluster.node.logs if cluster.node else None
        page = report.collect(cluster.kubectl, FOLDER / "report" / item.name, node_logs=logs)
        result.sections.append(("the cluster", page))
    return result
