"""Direct mode with real routers and agents that ask for leases, as processes: drained, killed, and gone."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from niyama_client import AccessDeniedError, Client, Generation, Mode
from niyama_runtime.embedded_redis import EmbeddedRedis

from tests.router.harness import until
from tests.router.processes import RoleProcess, agent_document, router_document, running

REPLICAS = ("replica-0", "replica-1")
STORY = "A long story, please."


@dataclass(slots=True)
class Cluster:
    """Two agents and a router that share a lease key, a Redis, and a client that streams from agents."""

    replicas: dict[str, RoleProcess]
    router: RoleProcess
    client: Client


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    (tmp_path / "key").write_bytes(b"k" * 32)
    lease = {"leaseKeyFile": str(tmp_path / "key")}
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(EmbeddedRedis())
        starting = [running("niyama_agent", agent_document(name, redis.url, **lease), tmp_path) for name in REPLICAS]
        starting.append(running("niyama_router", router_document(redis.url, **lease), tmp_path))
        *replicas, router = await asyncio.gather(*(stack.enter_async_context(each) for each in starting))
        client = await stack.enter_async_context(Client(router.address, mode=Mode.DIRECT))

        async def are_seen() -> bool:
            return sum(each.placeable for each in (await client.status()).replicas) == len(REPLICAS)

        await until(are_seen)
        yield Cluster(dict(zip(REPLICAS, replicas, strict=True)), router, client)


async def undisturbed(cluster: Cluster, prompt: str = STORY, *, num_tokens: int = 300) -> list[int]:
    """Return the answer as it is when a router passes it on and nothing happens."""
    generation = cluster.client.generate(prompt, mode="routed", max_tokens=num_tokens)
    return [token.id async for token in generation]


def ids(generation: Generation) -> list[int]:
    assert [token.position for token in generation.tokens] == list(range(len(generation.tokens)))
    return [token.id for token in generation.tokens]


async def test_answers_are_those_that_a_router_passes_on(cluster: Cluster) -> None:
    generation = cluster.client.generate(STORY, max_tokens=50)
    await generation.text()
    done = generation.completion
    assert (done.num_output_tokens, done.num_moves, done.on_time) == (50, 0, True)
    assert done.ttft == pytest.approx(generation.tokens[0].emitted, abs=1e-3)
    assert (await cluster.client.status()).classes[0].num_placed == 1
    assert ids(generation) == await undisturbed(cluster, num_tokens=50)


async def test_a_replica_that_is_killed_does_not_show_in_the_answer(cluster: Cluster) -> None:
    generation = cluster.client.generate(STORY, max_tokens=300)
    killed = ""
    async for token in generation:
        if token.position == 5:
            killed = generation.accepted.replica
            cluster.replicas[killed].signal(signal.SIGKILL)
    assert (generation.completion.num_moves, generation.completion.num_output_tokens) == (1, len(generation.tokens))
    assert generation.completion.replica != killed
    assert ids(generation) == await undisturbed(cluster)


async def test_a_replica_that_drains_hands_over_and_no_request_fails(cluster: Cluster) -> None:
    # So long that many have not begun when it drains.
    prompts = [f"{STORY} {index} " + "x" * 20_000 for index in range(40)]
    generations = [cluster.client.generate(prompt, max_tokens=30) for prompt in prompts]
    reading = asyncio.gather(*(generation.text() for generation in generations))
    await asyncio.sleep(0.3)
    status = await cluster.replicas["replica-0"].end()
    await reading
    assert status == 0
    assert any(generation.completion.num_moves for generation in generations), "nothing waited when it drained"
    for index in range(0, 40, 8):
        assert ids(generations[index]) == await undisturbed(cluster, prompts[index], num_tokens=30)
    assert (await cluster.client.status()).classes[0].num_placed == 40


async def test_a_stream_goes_on_without_its_router(cluster: Cluster) -> None:
    expected = await undisturbed(cluster)
    generation = cluster.client.generate(STORY, max_tokens=300)
    async for token in generation:
        if token.position == 5:
            cluster.router.signal(signal.SIGKILL)
            await cluster.router.process.wait()
    assert ids(generation) == expected


async def test_a_replica_serves_nobody_whom_no_router_has_sent(cluster: Cluster, tmp_path: Path) -> None:
    agents = [replica.address for replica in cluster.replicas.values()]
    document = {**router_document(None, *agents), "router": "stranger"}
    async with (
        running("niyama_router", document, tmp_path) as stranger,
        Client(stranger.address, mode=Mode.DIRECT) as client,
    ):
        with pytest.raises(AccessDeniedError) as caught:
            await client.generate(STORY, max_tokens=5).text()
    assert caught.value.reason == "LEASE_MISSING"
