"""A real cluster, started once for a module of tests that wants one, and a state directory of the tests'."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster_process import running_cluster


@pytest.fixture(scope="module")
def cluster_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the cluster's state lies."""
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def cluster(cluster_folder: Path) -> Iterator[str]:
    """The address of its router."""
    with running_cluster(cluster_folder, "--speed", "8") as address:
        yield address
