"""Real Redis and real gRPC for the tests of the shared floor."""

from collections.abc import AsyncIterator

import pytest
from niyama_runtime.embedded_redis import EmbeddedRedis


@pytest.fixture
async def redis_server() -> AsyncIterator[EmbeddedRedis]:
    """A Redis of the test's own."""
    async with EmbeddedRedis() as server:
        yield server
