"""A real Redis for the tests of the shared floor, and a way to look into it."""

from collections.abc import AsyncIterator

import pytest
import redis.asyncio
from niyama_runtime.embedded_redis import EmbeddedRedis


@pytest.fixture
async def redis_server() -> AsyncIterator[EmbeddedRedis]:
    """A Redis of the test's own."""
    async with EmbeddedRedis() as server:
        yield server


@pytest.fixture
async def raw_redis(redis_server: EmbeddedRedis) -> AsyncIterator[redis.asyncio.Redis]:
    """A plain client, to look at the keys and to spoil them."""
    async with redis.asyncio.Redis.from_url(redis_server.url, protocol=2) as client:
        yield client
