"""Two routers as real processes: what a client of the SDK sees when one of them dies or hangs."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from niyama_agent.paced_tokens import TokenChain, natural_length
from niyama_client import Client
from niyama_runtime.embedded_redis import EmbeddedRedis

from tests.router.processes import RoleProcess, agent_document, router_document, running

ROUTERS = ("router-0", "router-1")
NUM_TOKENS = 120


@dataclass(slots=True)
class Cluster:
    """An agent, two routers, and a client that knows both."""

    routers: tuple[RoleProcess, ...]
    client: Client


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(EmbeddedRedis())
        engine = {"type": "paced", "speed": 1.0}
        starting = [running("niyama_agent", agent_document("replica-0", redis.url, engine=engine), tmp_path)]
        starting += [running("niyama_router", router_document(redis.url, router=name), tmp_path) for name in ROUTERS]
        _, *routers = await asyncio.gather(*(stack.enter_async_context(each) for each in starting))
        client = Client(",".join(router.address for router in routers))
        stack.push_async_callback(client.close)
        yield Cluster(tuple(routers), client)


async def answers(cluster: Cluster, begun: asyncio.Event, *, number: int = 8) -> list[list[int]]:
    """Return the tokens of some answers; `begun` is set when each has some."""
    num_begun = 0

    async def ask(prompt: list[int]) -> list[int]:
        nonlocal num_begun
        tokens: list[int] = []
        async for token in cluster.client.generate(prompt, max_tokens=NUM_TOKENS, timeout=60):
            tokens.append(token.id)
            if len(tokens) == 5:
                num_begun += 1
            if num_begun == number:
                begun.set()
        return tokens

    return await asyncio.gather(*(ask(a_long_one(index)) for index in range(number)))


async def busiest(cluster: Cluster) -> RoleProcess:
    """Return the router with the most streams: a client may not have found the other one yet."""

    async def num_open(router: RoleProcess) -> int:
        async with Client(router.address) as client:
            return sum(replica.num_open for replica in (await client.status()).replicas)

    counts = [await num_open(router) for router in cluster.routers]
    assert any(counts)
    return cluster.routers[counts.index(max(counts))]


def a_long_one(index: int) -> list[int]:
    """Return a prompt whose answer is not over before `NUM_TOKENS`."""
    return next([index, extra] for extra in range(1000) if natural_length([index, extra]) >= NUM_TOKENS)


def undisturbed(number: int = 8) -> list[list[int]]:
    chains = [TokenChain(a_long_one(index)) for index in range(number)]
    return [[chain.next_token() for _ in range(NUM_TOKENS)] for chain in chains]


async def test_an_answer_whose_router_is_killed_goes_on_at_the_other(cluster: Cluster) -> None:
    begun = asyncio.Event()
    asking = asyncio.create_task(answers(cluster, begun))
    await begun.wait()
    (await busiest(cluster)).signal(signal.SIGKILL)
    assert await asking == undisturbed()


async def test_an_answer_whose_router_hangs_goes_on_at_the_other(cluster: Cluster) -> None:
    begun = asyncio.Event()
    asking = asyncio.create_task(answers(cluster, begun))
    await begun.wait()
    (await busiest(cluster)).signal(signal.SIGSTOP)
    # It hangs for good: only the client can find out.
    assert await asking == undisturbed()
