"""A real cluster, started once for all tests of the SDK that want one."""

from collections.abc import Iterator

import pytest

from tests.cluster_process import running_cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of its router."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as address:
        yield address
