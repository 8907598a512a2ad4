"""What all tests of a cluster share: the cluster, a namespace, and a report when one fails.

Run by `python -m pytest e2e`. The first test waits for the cluster: half a minute, a quarter
of an hour where the node's programs are to be built first.
"""

import os
import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from e2e import report
from e2e.cluster import Cluster, running_cluster
from e2e.declared_clusters import fresh_namespace
from e2e.figures import Figures
from e2e.installation import SYSTEM, Installation, install
from e2e.kubectl import Kubectl
from e2e.node import Node
from e2e.programs import ROOT, ProgramError

FOLDER = ROOT / "out" / "e2e"
FIGURES = FOLDER / "figures.txt"
TEST_SECONDS = 600

# Routers are found by the cluster's DNS, which only this resolver of gRPC's can be told to ask.
os.environ.setdefault("GRPC_DNS_RESOLVER", "ares")


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
    FIGURES.unlink(missing_ok=True)
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


@pytest.fixture(scope="session")
def figures(cluster: Cluster) -> Figures:
    """Return where scenarios keep the figures that they are there for."""
    return Figures(FIGURES)


@pytest.fixture(scope="session")
def niyama(cluster: Cluster) -> Iterator[Installation]:
    """Yield Niyama, installed by its charts; it is the same for all tests of a run."""
    yield install(cluster)
    with suppress(ProgramError):
        cluster.helm.uninstall("niyama", namespace=SYSTEM)


@pytest.fixture(scope="module")
def namespace(niyama: Installation, cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """Yield kubectl within a namespace that the tests of a module share, once Niyama is installed."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    with fresh_namespace(cluster.kubectl, f"e2e-{name}") as within:
        yield within


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the figures."""
    lines = Figures(FIGURES).lines()
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)


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
