"""Router, agents and Redis as real processes: what a client sees while they come, drain, die and return."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from niyama.v1 import generation_pb2, inference_pb2
from niyama_runtime.embedded_redis import EmbeddedRedis

from tests.router.harness import Answer, Client, until
from tests.router.processes import RoleProcess, agent_document, router_document, running

REPLICAS = ("replica-0", "replica-1")


@dataclass(slots=True)
class Cluster:
    """Two agents, a router, a Redis and a client."""

    redis: EmbeddedRedis
    replicas: dict[str, RoleProcess]
    router: RoleProcess
    client: Client

    async def placeable(self) -> set[str]:
        return {each.load.replica for each in (await self.client.status()).replicas if each.placeable}

    async def sees(self, *names: str) -> None:
        async def does() -> bool:
            return await self.placeable() == set(names)

        await until(does)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(EmbeddedRedis())
        starting = [running("niyama_agent", agent_document(name, redis.url), tmp_path) for name in REPLICAS]
        starting.append(running("niyama_router", router_document(redis.url), tmp_path))
        *replicas, router = await asyncio.gather(*(stack.enter_async_context(each) for each in starting))
        client = Client(router.address)
        stack.push_async_callback(client.close)
        made = Cluster(redis, dict(zip(REPLICAS, replicas, strict=True)), router, client)
        await made.sees(*REPLICAS)
        yield made


async def load(cluster: Cluster, number: int, *, num_tokens: int = 30, spacing: float = 0.01) -> list[Answer]:
    """Send requests one after the other, and return what came of them."""

    async def one(index: int) -> Answer:
        await asyncio.sleep(index * spacing)
        return await cluster.client.generate(
            prompt=f"request {index} " * 20, replay_output_tokens=num_tokens, timeout=20
        )

    return await asyncio.gather(*(one(index) for index in range(number)))


def events(number: int) -> list[asyncio.Event]:
    return [asyncio.Event() for _ in range(number)]


async def test_tokens_stream_from_agents_that_are_found_on_the_load_board(cluster: Cluster) -> None:
    answers = await load(cluster, 20)
    assert [len(answer.token_ids) for answer in answers] == [30] * 20
    assert {answer.completion.replica for answer in answers} == set(REPLICAS)
    assert all(answer.completion.on_time for answer in answers)
    status = await cluster.client.status()
    assert status.load_board == inference_pb2.LOAD_BOARD_STATE_CONNECTED
    assert status.classes[0].num_completed == 20


async def test_a_client_that_leaves_frees_its_replica_at_once(cluster: Cluster) -> None:
    request = generation_pb2.GenerateRequest(prompt="Once upon a time", replay_output_tokens=2000)
    call = cluster.client.stub.Generate(request)
    for _ in range(5):
        await call.read()

    async def num_running() -> int:
        loads = [each.load for each in (await cluster.client.status()).replicas]
        return sum(each.num_decoding + each.num_queued for load in loads for each in load.classes)

    async def is_busy() -> bool:
        return await num_running() == 1

    async def is_free() -> bool:
        return await num_running() == 0

    await until(is_busy)
    call.cancel()
    await until(is_free, within=1.0)


async def test_a_replica_that_is_killed_takes_no_request_with_it(cluster: Cluster) -> None:
    sending = asyncio.create_task(load(cluster, 60, num_tokens=60))
    await asyncio.sleep(0.3)
    # One on each replica, so long that it is in prefill when the replica dies.
    long = {cluster.client.generate(prompt="x" * 60_000, max_tokens=1, accepted=event): event for event in events(2)}
    in_prefill = asyncio.gather(*long)
    await asyncio.gather(*(event.wait() for event in long.values()))
    cluster.replicas["replica-0"].signal(signal.SIGKILL)
    answers = await sending
    assert sorted(answer.completion.num_moves for answer in await in_prefill) == [0, 1]
    assert [answer.failure for answer in answers if answer.failure] == []
    moved = [answer for answer in answers if answer.completion.num_moves]
    assert moved, "the kill came too late to be seen"
    await cluster.sees("replica-1")
    # Each token is a hash of all before it: what went on elsewhere is what it would have been undisturbed.
    again = await load(cluster, 60, num_tokens=60)
    assert [answer.token_ids for answer in answers] == [answer.token_ids for answer in again]


async def test_a_replica_that_hangs_is_found_and_its_requests_go_on_elsewhere(cluster: Cluster) -> None:
    sending = asyncio.create_task(load(cluster, 60, num_tokens=60))
    await asyncio.sleep(0.4)
    cluster.replicas["replica-0"].signal(signal.SIGSTOP)
    began = time.monotonic()
    answers = await sending
    seconds = time.monotonic() - began
    cluster.replicas["replica-0"].signal(signal.SIGCONT)
    assert [answer.failure for answer in answers if answer.failure] == []
    assert any(answer.completion.num_moves for answer in answers), "nothing was there when it hung"
    # Long before gRPC's keepalive would notice.
    assert seconds < 12
    again = await load(cluster, 60, num_tokens=60)
    assert [answer.token_ids for answer in answers] == [answer.token_ids for answer in again]


async def test_a_replica_that_drains_hands_over_and_no_request_fails(cluster: Cluster) -> None:
    sending = asyncio.create_task(load(cluster, 60, num_tokens=40))
    await asyncio.sleep(0.3)
    status = await cluster.replicas["replica-0"].end()
    answers = await sending
    assert status == 0
    assert [answer.failure for answer in answers if answer.failure] == []
    assert all(len(answer.token_ids) == 40 for answer in answers)
    await cluster.sees("replica-1")


async def test_redis_stops_and_starts_under_load_and_no_request_fails(cluster: Cluster) -> None:
    sending = asyncio.create_task(load(cluster, 150, num_tokens=20, spacing=0.02))
    await asyncio.sleep(0.5)
    await cluster.redis.stop()

    async def state() -> inference_pb2.LoadBoardState:
        return (await cluster.client.status()).load_board

    async def is_away() -> bool:
        return await state() == inference_pb2.LOAD_BOARD_STATE_DISCONNECTED

    async def is_back() -> bool:
        return await state() == inference_pb2.LOAD_BOARD_STATE_CONNECTED

    await until(is_away)
    assert await cluster.placeable() == set(REPLICAS)
    await asyncio.sleep(0.5)
    await cluster.redis.start()
    await until(is_back)
    answers = await sending
    assert [answer.failure for answer in answers if answer.failure] == []
    await cluster.sees(*REPLICAS)


async def test_a_router_that_is_told_to_stop_finishes_its_streams(cluster: Cluster) -> None:
    sending = asyncio.create_task(load(cluster, 5, num_tokens=40, spacing=0))
    await asyncio.sleep(0.3)
    assert await cluster.router.end() == 0
    assert all(len(answer.token_ids) == 40 for answer in await sending)
