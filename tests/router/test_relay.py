"""One stream from replica to client: every token once and in order, as long as the client wants it."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from niyama.v1 import generation_pb2, replica_pb2

from tests.router.conftest import StartReplica
from tests.router.harness import RouterUnderTest, until
from tests.router.scripted_replica import (
    Context,
    Event,
    ScriptedReplica,
    answering,
    saying,
    tokens,
)

Stream = grpc.aio.UnaryStreamCall[generation_pb2.GenerateRequest, generation_pb2.GenerateResponse]


async def test_a_stream_is_passed_on_in_order_and_closed_by_its_completion(start_replica: StartReplica) -> None:
    replica = await start_replica("only", answering(4))
    async with RouterUnderTest(replica.address) as router:
        answer = await router.generate()
        await asyncio.sleep(0.05)
    assert answer.kinds == ["accepted", *["tokens"] * 4, "completion"]
    assert answer.token_ids == [0, 1, 2, 3]
    assert answer.completion.replica == "only"
    assert answer.completion.num_moves == 0
    assert replica.num_cancelled == 0, "a stream that has ended is not cancelled"


async def test_the_trailers_say_what_happened(start_replica: StartReplica) -> None:
    replica = await start_replica("only", answering(4))
    async with RouterUnderTest(replica.address) as router:
        answer = await router.generate(request_id="mine")
    assert answer.trailers == {
        "niyama-request-id": "mine",
        "niyama-qos-class": "chat",
        "niyama-replica": "only",
        "niyama-ttft-ms": "120.000",
        "niyama-largest-tbt-ms": "30.000",
        "niyama-ttlt-ms": "450.000",
        "niyama-relegated": "false",
        "niyama-moved": "0",
        "niyama-deadline-met": "true",
    }


async def test_a_replica_is_sent_durations_and_the_promise_in_full(start_replica: StartReplica) -> None:
    replica = await start_replica("only")
    async with RouterUnderTest(replica.address) as router:
        await router.generate(metadata=[("niyama-ttft-ms", "4000")], app="reader")
    (seen,) = replica.seen
    assert seen.promise.interactive.ttft.ToMilliseconds() == 4000
    assert seen.promise.interactive.tbt.ToMilliseconds() == 50
    assert 0 < seen.elapsed.ToNanoseconds() < 1e9
    assert seen.request.app == "reader"
    assert len(seen.request.request_id) == 32


@pytest.mark.parametrize("wrong", [tokens(2, [9]), tokens(0, [9])], ids=["a gap", "a token twice"])
async def test_tokens_that_are_out_of_order_end_the_stream(
    start_replica: StartReplica, wrong: generation_pb2.GenerateResponse
) -> None:
    replica = await start_replica("only", saying(tokens(0, [1]), wrong))
    async with RouterUnderTest(replica.address) as router:
        answer = await router.generate()
    assert answer.token_ids == [1]
    assert answer.failure is not None
    assert answer.failure.metadata["num_delivered_tokens"] == "1"


async def test_a_stream_that_ends_without_a_completion_is_no_answer(start_replica: StartReplica) -> None:
    replica = await start_replica("only", saying(tokens(0, [1])))
    async with RouterUnderTest(replica.address) as router:
        answer = await router.generate()
    assert answer.failure is not None
    assert answer.failure.reason == "STREAM_BROKEN"


async def test_a_client_that_leaves_is_followed_by_its_stream(start_replica: StartReplica) -> None:
    replica = await start_replica("only", saying(tokens(0, [1]), forever=True))
    async with RouterUnderTest(replica.address) as router:
        call = router.stub.Generate(generation_pb2.GenerateRequest(prompt="x"))
        await call.read()
        await call.read()
        call.cancel()
        await until(lambda: replica.num_cancelled == 1)
        chat = (await router.status()).classes[0]
    assert (chat.num_requests, chat.num_cancelled, chat.num_failed) == (1, 1, 0)


async def test_the_callers_deadline_ends_the_stream_everywhere(start_replica: StartReplica) -> None:
    replica = await start_replica("only", saying(tokens(0, [1]), forever=True))
    async with RouterUnderTest(replica.address) as router:
        answer = await router.generate(timeout=0.3)
        await until(lambda: replica.num_cancelled == 1)

        async def is_counted() -> bool:
            return (await router.status()).classes[0].num_failed == 1

        await until(is_counted)
    assert answer.failure is not None
    assert answer.failure.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_replica_is_told_how_long_the_caller_waits(start_replica: StartReplica) -> None:
    left: list[float | None] = []

    async def act(
        replica: ScriptedReplica, request: replica_pb2.ReplicaGenerateRequest, context: Context
    ) -> AsyncIterator[Event]:
        left.append(context.time_remaining())
        async for event in answering(1)(replica, request, context):
            yield event

    replica = await start_replica("only", act)
    async with RouterUnderTest(replica.address) as router:
        await router.generate(timeout=7.0)
    assert left[0] == pytest.approx(7.0, abs=1.0)


async def test_a_stream_that_said_its_last_word_is_left_to_end_by_itself(start_replica: StartReplica) -> None:
    ended = asyncio.Event()

    async def act(
        replica: ScriptedReplica, request: replica_pb2.ReplicaGenerateRequest, context: Context
    ) -> AsyncIterator[Event]:
        async for event in answering(1)(replica, request, context):
            yield event
        await asyncio.sleep(0.1)
        ended.set()

    replica = await start_replica("only", act)
    async with RouterUnderTest(replica.address) as router:
        assert (await router.generate()).completion.on_time
        assert not ended.is_set(), "the client does not wait for that"
        await asyncio.wait_for(ended.wait(), 1.0)
    assert replica.num_cancelled == 0


async def test_a_slow_reader_slows_its_own_stream_and_keeps_every_token(start_replica: StartReplica) -> None:
    replica = await start_replica("only", answering(2000, num_bytes=2000))
    async with RouterUnderTest(replica.address) as router:
        call = router.stub.Generate(generation_pb2.GenerateRequest(prompt="x"))
        await call.read()
        await asyncio.sleep(0.2)
        positions = [event.tokens.position async for event in reading(call) if event.HasField("tokens")]
    assert positions == list(range(2000))


async def reading(call: Stream) -> AsyncIterator[Event]:
    while isinstance(event := await call.read(), Event):
        yield event
