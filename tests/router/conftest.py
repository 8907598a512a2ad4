"""Replicas for the tests of the router, ended with the test."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.router.scripted_replica import Act, ScriptedReplica

StartReplica = Callable[..., Awaitable[ScriptedReplica]]


@pytest.fixture
async def start_replica() -> AsyncIterator[StartReplica]:
    """A function that starts a scripted replica."""
    started: list[ScriptedReplica] = []

    async def start(name: str, *acts: Act) -> ScriptedReplica:
        replica = ScriptedReplica(name, list(acts))
        await replica.start()
        started.append(replica)
        return replica

    yield start
    for replica in started:
        await replica.stop()
