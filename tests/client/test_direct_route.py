"""Direct mode: a client follows its request from replica to replica, and the application sees one stream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import grpc
import pytest
from niyama.v1 import generation_pb2, replica_pb2
from niyama_client import (
    AccessDeniedError,
    Batch,
    ChatMessage,
    Client,
    Interactive,
    InvalidRequestError,
    Mode,
    OverloadedError,
    Sampling,
    SyncClient,
    TimeoutExpiredError,
    UnavailableError,
)
from niyama_core.load import ClassLoad
from niyama_runtime.status import Failure, abort

from tests.router.harness import RouterUnderTest, until
from tests.router.scripted_replica import (
    Act,
    Context,
    Event,
    ScriptedReplica,
    answering,
    failing,
    going_on,
    handed_back,
    relegated,
    saying,
    tokens,
)

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


def direct(router: RouterUnderTest) -> Client:
    return Client(router.endpoints.grpc, mode=Mode.DIRECT)


def busy(replica: ScriptedReplica) -> None:
    """Let a replica report so much to do that the others are asked first."""
    waiting = ClassLoad(num_queued=1, queued_prefill_tokens=20_000)
    replica.load = replace(replica.load, classes={"chat": waiting})


def turning_away(failure: Failure) -> Act:
    async def act(
        replica: ScriptedReplica, request: replica_pb2.ReplicaGenerateRequest, context: Context
    ) -> AsyncIterator[Event]:
        nothing: tuple[Event, ...] = ()
        for event in nothing:
            yield event
        await abort(context, failure)

    return act


async def test_tokens_come_from_the_replica_and_the_router_sees_none(start_replica: StartReplica) -> None:
    replica = await start_replica("only", answering(4))
    async with RouterUnderTest(replica.address) as router, direct(router) as client:
        generation = client.generate("Hello there", qos=Interactive(ttft=4.0, tbt=0.05), request_id="r1")
        got = [token.id async for token in generation]
        status = await client.status()
    assert got == [0, 1, 2, 3]
    assert generation.accepted.promise.slo == Interactive(ttft=4.0, tbt=0.05)
    assert (generation.accepted.request_id, generation.completion.num_moves) == ("r1", 0)
    (seen,) = replica.seen
    assert (seen.request.request_id, seen.request.prompt) == ("r1", "Hello there")
    assert 0 < seen.elapsed.ToNanoseconds() < 1e9
    assert replica.num_cancelled == 0
    assert (status.classes[0].num_placed, status.classes[0].num_requests) == (1, 0)


async def test_every_kind_of_prompt_is_placed_by_its_length(start_replica: StartReplica) -> None:
    replica = await start_replica("only", answering(1))
    async with RouterUnderTest(replica.address) as router, direct(router) as client:
        for prompt in ("text", [1, 2, 3], [ChatMessage("user", "Hi")]):
            assert len([token async for token in client.generate(prompt)]) == 1
        with pytest.raises(InvalidRequestError, match="num_prompt_tokens"):
            await client.generate("").text()


async def test_a_request_that_is_handed_back_goes_on_elsewhere(start_replica: StartReplica) -> None:
    one = await start_replica("one", saying(handed_back()))
    other = await start_replica("other", answering(3))
    busy(other)
    async with RouterUnderTest(one.address, other.address) as router, direct(router) as client:
        generation = client.generate("Hello")
        assert len([token async for token in generation]) == 3
    assert (generation.completion.replica, generation.completion.num_moves) == ("other", 1)
    assert (len(one.seen), other.seen[0].num_moves) == (1, 1)


async def test_a_lost_replica_does_not_show_in_the_answer(start_replica: StartReplica) -> None:
    one = await start_replica("one", failing(grpc.StatusCode.UNAVAILABLE, num_tokens=3))
    other = await start_replica("other", going_on(6))
    busy(other)
    async with RouterUnderTest(one.address, other.address) as router, direct(router) as client:
        generation = client.generate("Hello", qos=Batch(ttlt=600.0))
        got = [token async for token in generation]
    assert [token.id for token in got] == [token.position for token in got] == list(range(6))
    assert list(other.seen[0].emitted_token_ids) == [0, 1, 2]
    assert other.seen[0].elapsed.ToNanoseconds() >= one.seen[0].elapsed.ToNanoseconds()
    assert other.seen[0].promise == one.seen[0].promise
    done = generation.completion
    # The last replica saw only its own part; the client judges the whole.
    assert (done.num_moves, done.on_time, done.ttlt) == (1, True, 0.4)


async def test_an_answer_with_stop_strings_does_not_go_on_behind_its_tokens(start_replica: StartReplica) -> None:
    one = await start_replica("one", failing(grpc.StatusCode.UNAVAILABLE, num_tokens=3))
    other = await start_replica("other", going_on(6))
    busy(other)
    async with RouterUnderTest(one.address, other.address) as router, direct(router) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.generate("Hello", sampling=Sampling(stop=("x",))).text()
    assert (caught.value.reason, len(caught.value.tokens)) == ("STREAM_BROKEN", 3)
    assert other.seen == []


async def test_a_request_that_is_relegated_moves_where_it_can_be_on_time(start_replica: StartReplica) -> None:
    one = await start_replica("one", saying(relegated(), forever=True))
    other = await start_replica("other", answering(3))
    busy(other)
    async with RouterUnderTest(one.address, other.address) as router, direct(router) as client:
        generation = client.generate("Hello")
        assert len([token async for token in generation]) == 3
    assert (generation.completion.replica, generation.completion.num_moves) == ("other", 1)
    assert not generation.is_relegated
    await until(lambda: one.num_cancelled == 1)


async def test_a_request_that_is_relegated_stays_when_no_other_is_better(start_replica: StartReplica) -> None:
    only = await start_replica("only", saying(relegated(), relegated(), tokens(0, [7]), whole=True))
    async with RouterUnderTest(only.address) as router, direct(router) as client:
        generation = client.generate("Hello")
        assert [token.id async for token in generation] == [7]
    assert generation.is_relegated
    assert generation.completion.num_moves == 0


async def test_a_router_that_is_away_is_missed_only_when_the_request_must_move(start_replica: StartReplica) -> None:
    goes_on = asyncio.Event()

    async def slow(
        replica: ScriptedReplica, request: replica_pb2.ReplicaGenerateRequest, context: Context
    ) -> AsyncIterator[Event]:
        async for event in saying(tokens(0, [0]))(replica, request, context):
            yield event
        await goes_on.wait()
        async for event in going_on(3)(replica, request, context):
            if (not event.HasField("accepted") and event.tokens.position != 0) or event.HasField("completion"):
                yield event

    replica = await start_replica("only", slow)
    async with RouterUnderTest(replica.address, drainGrace="10ms") as router, direct(router) as client:
        generation = client.generate("Hello")
        got = []
        async for token in generation:
            got.append(token.id)
            if len(got) == 1:
                await router.stop()
                goes_on.set()
    assert got == [0, 1, 2]


async def test_a_lease_that_ran_out_is_asked_for_again(start_replica: StartReplica) -> None:
    expired = Failure(code=grpc.StatusCode.UNAUTHENTICATED, message="too late", reason="LEASE_EXPIRED")
    replica = await start_replica("only", turning_away(expired), answering(2))
    async with RouterUnderTest(replica.address) as router, direct(router) as client:
        assert len([token async for token in client.generate("Hello")]) == 2


async def test_a_client_that_no_replica_knows_is_told(start_replica: StartReplica) -> None:
    denied = Failure(code=grpc.StatusCode.UNAUTHENTICATED, message="no lease", reason="LEASE_MISSING")
    replicas = [await start_replica(name, turning_away(denied)) for name in ("one", "two", "three")]
    async with RouterUnderTest(*(each.address for each in replicas)) as router, direct(router) as client:
        with pytest.raises(AccessDeniedError, match="no lease"):
            await client.generate("Hello").text()


async def test_what_a_replica_finds_wrong_is_told_and_not_tried_elsewhere(start_replica: StartReplica) -> None:
    one = await start_replica("one", failing(grpc.StatusCode.INVALID_ARGUMENT))
    other = await start_replica("other")
    busy(other)
    async with RouterUnderTest(one.address, other.address) as router, direct(router) as client:
        with pytest.raises(InvalidRequestError):
            await client.generate("Hello").text()
    assert other.seen == []


async def test_a_request_on_which_three_replicas_fail_is_given_up(start_replica: StartReplica) -> None:
    names = ("one", "two", "three", "four")
    replicas = [await start_replica(name, failing(grpc.StatusCode.INTERNAL)) for name in names]
    async with RouterUnderTest(*(each.address for each in replicas)) as router, direct(router) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.generate("Hello").text()
    assert caught.value.reason == "REPLICAS_FAILED"
    assert sum(len(each.seen) for each in replicas) == 3


async def test_a_request_that_fits_nowhere_hears_so(start_replica: StartReplica) -> None:
    full = saying(handed_back(generation_pb2.HAND_BACK_REASON_NO_CAPACITY))
    replica = await start_replica("only", full)
    async with RouterUnderTest(replica.address) as router, direct(router) as client:
        with pytest.raises(OverloadedError) as caught:
            await client.generate("Hello").text()
    assert caught.value.reason == "NO_CAPACITY"


async def test_leaving_the_loop_frees_the_replica(start_replica: StartReplica) -> None:
    replica = await start_replica("only", saying(tokens(0, [1]), forever=True))
    async with RouterUnderTest(replica.address) as router, direct(router) as client:
        async for _ in client.generate("Hello"):
            break
        await until(lambda: replica.num_cancelled == 1)
        generation = client.generate("Hello")
        asyncio.get_running_loop().call_later(0.2, generation.cancel)
        assert len([token async for token in generation]) == 1
        await until(lambda: replica.num_cancelled == 2)


async def test_a_timeout_ends_a_direct_stream(start_replica: StartReplica) -> None:
    replica = await start_replica("only", saying(tokens(0, [1]), forever=True))
    async with RouterUnderTest(replica.address) as router, direct(router) as client:
        with pytest.raises(TimeoutExpiredError):
            await client.generate("Hello", timeout=0.3).text()
        await until(lambda: replica.num_cancelled == 1)


async def test_the_synchronous_client_does_the_same(start_replica: StartReplica) -> None:
    replica = await start_replica("only", answering(3))

    def read(address: str) -> list[int]:
        with SyncClient(address, mode=Mode.DIRECT) as client:
            return [token.id for token in client.generate("Hello")]

    async with RouterUnderTest(replica.address) as router:
        assert await asyncio.to_thread(read, router.endpoints.grpc) == [0, 1, 2]
        assert (await router.status()).classes[0].num_placed == 1


async def test_a_mode_that_does_not_exist_is_refused() -> None:
    async with Client("127.0.0.1:1") as client:
        with pytest.raises(InvalidRequestError, match="routed, direct, auto"):
            client.generate("Hello", mode="sideways")  # type: ignore[arg-type]
