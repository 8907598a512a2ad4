"""A real cluster, started once for all tests of the SDK that want one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster_process import running_cluster


@pytest.fixture(scope="session")
def cluster_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the cluster's state lies."""
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="session")
def cluster(cluster_folder: Path) -> Iterator[str]:
    """The address of its router."""
    with running_cluster(cluster_folder) as address:
        yield address
