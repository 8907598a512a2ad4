"""What happens to requests when replicas relegate, hand back, refuse or die."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import pytest
from niyama.v1 import generation_pb2, replica_pb2
from niyama_runtime import status
from niyama_runtime.status import FieldViolation

from tests.router.conftest import StartReplica
from tests.router.harness import RouterUnderTest, until
from tests.router.scripted_replica import (
    Context,
    Event,
    ScriptedReplica,
    accepted,
    answering,
    failing,
    failing_later,
    going_on,
    handed_back,
    relegated,
    saying,
    tokens,
)


def busier(replica: ScriptedReplica) -> ScriptedReplica:
    """Make placement prefer any other replica."""
    replica.load = replace(replica.load, prefill_tokens_per_second=replica.load.prefill_tokens_per_second / 2)
    return replica


async def test_a_relegated_request_is_moved_where_it_can_be_on_time(start_replica: StartReplica) -> None:
    first = await start_replica("first", saying(relegated(), 5.0, tokens(0, [66])))
    second = busier(await start_replica("second", answering(3)))
    async with RouterUnderTest(first.address, second.address) as router:
        answer = await router.generate()
        await until(lambda: first.num_cancelled == 1)
    assert answer.kinds == ["accepted", *["tokens"] * 3, "completion"]
    assert answer.token_ids == [0, 1, 2]
    assert (answer.completion.replica, answer.completion.num_moves) == ("second", 1)
    assert answer.trailers["niyama-replica"] == "second"
    assert answer.trailers["niyama-moved"] == "1"
    assert second.seen[0].num_moves == 1
    assert second.seen[0].elapsed.ToNanoseconds() > first.seen[0].elapsed.ToNanoseconds()


async def test_a_relegated_request_stays_when_no_other_replica_can_be_on_time(start_replica: StartReplica) -> None:
    act = saying(relegated(), tokens(0, [1]), 0.05, whole=True)
    first = await start_replica("first", act)
    slow = await start_replica("slow")
    slow.load = replace(slow.load, prefill_tokens_per_second=0.1)
    async with RouterUnderTest(first.address, slow.address) as router:
        answer = await router.generate()
    assert answer.kinds == ["accepted", "relegated", "tokens", "completion"]
    assert not slow.seen


async def test_moves_for_the_sake_of_a_promise_are_bounded(start_replica: StartReplica) -> None:
    replicas = [await start_replica(f"r{n}", saying(relegated(), tokens(0, [7]), whole=True)) for n in range(4)]
    async with RouterUnderTest(*(replica.address for replica in replicas), maxMoves=2) as router:
        answer = await router.generate()
    assert sum(len(replica.seen) for replica in replicas) == 3
    assert answer.kinds == ["accepted", "relegated", "tokens", "completion"]


@pytest.mark.parametrize("claimed", [False, True])
async def test_a_request_that_has_tokens_is_not_moved_whatever_its_replica_claims(
    start_replica: StartReplica, claimed: bool
) -> None:
    act = saying(tokens(0, [1]), relegated(before_first_token=claimed), tokens(1, [2]), whole=True)
    replica = await start_replica("first", act)
    other = busier(await start_replica("other"))
    async with RouterUnderTest(replica.address, other.address) as router:
        answer = await router.generate()
    assert answer.kinds[:4] == ["accepted", "tokens", "relegated", "tokens"]
    assert not other.seen


async def test_a_request_is_not_moved_back_to_where_it_was_relegated(start_replica: StartReplica) -> None:
    first = await start_replica("first", saying(relegated()))
    second = busier(await start_replica("second", saying(relegated(), tokens(0, [7]), whole=True)))
    async with RouterUnderTest(first.address, second.address) as router:
        answer = await router.generate()
    assert answer.kinds == ["accepted", "relegated", "tokens", "completion"]
    assert (len(first.seen), len(second.seen)) == (1, 1)


async def test_a_request_that_is_handed_back_goes_elsewhere(start_replica: StartReplica) -> None:
    first = await start_replica("first", saying(handed_back()))
    second = busier(await start_replica("second", answering(2)))
    async with RouterUnderTest(first.address, second.address) as router:
        answer = await router.generate()
    assert answer.kinds == ["accepted", "tokens", "tokens", "completion"]
    assert (answer.completion.replica, answer.completion.num_moves) == ("second", 1)


async def test_a_request_that_is_handed_back_waits_for_a_replica_to_come(start_replica: StartReplica) -> None:
    first = await start_replica("first", saying(handed_back()))
    late = ScriptedReplica("late")
    await late.start()
    await late.stop()
    async with RouterUnderTest(first.address, late.address, placementWait="5s") as router:
        asked = asyncio.create_task(router.generate())
        await until(lambda: len(first.seen) == 1)
        await late.start()
        answer = await asked
    await late.stop()
    assert answer.completion.replica == "late"
    assert len(first.seen) == 1


async def test_a_request_that_nobody_can_hold_is_refused_for_want_of_room(start_replica: StartReplica) -> None:
    full = await start_replica("full", saying(handed_back(generation_pb2.HAND_BACK_REASON_NO_CAPACITY)))
    async with RouterUnderTest(full.address) as router:
        answer = await router.generate()
    assert answer.failure is not None
    assert answer.failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert answer.failure.reason == "NO_CAPACITY"
    assert answer.failure.retry_after is not None


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
async def test_a_replica_that_fails_before_a_token_is_replaced_by_another(
    start_replica: StartReplica, code: grpc.StatusCode
) -> None:
    first = await start_replica("first", failing(code))
    second = busier(await start_replica("second", answering(2)))
    async with RouterUnderTest(first.address, second.address) as router:
        answer = await router.generate()
    assert answer.completion.replica == "second"
    assert answer.kinds.count("accepted") == 1


async def test_a_request_that_comes_back_before_it_was_forgotten_goes_elsewhere(start_replica: StartReplica) -> None:
    first = await start_replica("first", saying(relegated()), failing(grpc.StatusCode.ALREADY_EXISTS))
    second = busier(await start_replica("second", failing(grpc.StatusCode.UNAVAILABLE)))
    third = busier(busier(await start_replica("third", answering(1))))
    async with RouterUnderTest(first.address, second.address, third.address) as router:
        answer = await router.generate()
    assert [len(replica.seen) for replica in (first, second, third)] == [2, 1, 1]
    assert (answer.completion.replica, answer.completion.num_moves) == ("third", 3)


async def test_an_id_that_is_in_use_is_that_of_a_client_that_lost_its_router_and_is_served_under_another(
    start_replica: StartReplica,
) -> None:
    only = await start_replica("only", failing(grpc.StatusCode.ALREADY_EXISTS), answering(1))
    async with RouterUnderTest(only.address) as router:
        answer = await router.generate(request_id="mine")
    assert answer.completion.replica == "only"
    assert answer.events[0].accepted.request_id == "mine"
    first, second = (seen.request.request_id for seen in only.seen)
    assert (first, second[:5]) == ("mine", "mine~")


async def test_a_replica_that_knows_every_id_is_left_alone(start_replica: StartReplica) -> None:
    first = await start_replica("first", failing(grpc.StatusCode.ALREADY_EXISTS))
    other = busier(await start_replica("other", answering(1)))
    async with RouterUnderTest(first.address, other.address) as router:
        assert (await router.generate()).completion.replica == "other"
    assert len(first.seen) == 2


async def test_a_replica_whose_connection_broke_is_left_alone_until_it_gives_a_sign_of_life(
    start_replica: StartReplica,
) -> None:
    first = await start_replica("first", failing(grpc.StatusCode.UNAVAILABLE))
    second = busier(await start_replica("second", answering(1)))
    async with RouterUnderTest(first.address, second.address) as router:
        for _ in range(20):
            assert (await router.generate()).completion.replica == "second"
    assert len(first.seen) < 10


async def test_a_replica_that_fails_after_tokens_is_followed_by_one_that_goes_on(start_replica: StartReplica) -> None:
    first = await start_replica("first", failing(grpc.StatusCode.UNAVAILABLE, num_tokens=5))
    other = busier(await start_replica("other", going_on(8)))
    async with RouterUnderTest(first.address, other.address) as router:
        answer = await router.generate()
    assert answer.token_ids == list(range(8))
    assert answer.kinds.count("accepted") == 1
    assert list(other.seen[0].emitted_token_ids) == [0, 1, 2, 3, 4]
    assert (answer.completion.replica, answer.completion.num_moves) == ("other", 1)
    # Of the whole answer, which began in time: the other replica saw its end only and could not know.
    assert answer.completion.ttft.ToMilliseconds() == 0
    assert answer.completion.largest_tbt.ToMilliseconds() == 400
    assert answer.completion.on_time


async def test_an_answer_that_gets_on_at_each_of_them_is_not_taken_for_what_makes_replicas_fail(
    start_replica: StartReplica,
) -> None:
    dying = [await start_replica(f"r{n}", failing_later(grpc.StatusCode.UNAVAILABLE, num_tokens=2)) for n in range(4)]
    last = busier(await start_replica("last", going_on(10)))
    async with RouterUnderTest(*(replica.address for replica in (*dying, last))) as router:
        answer = await router.generate()
    assert answer.token_ids == list(range(10))
    assert answer.completion.num_moves == 4


async def test_an_answer_that_fails_again_and_again_ends_with_how_many_tokens_came(start_replica: StartReplica) -> None:
    replicas = [
        await start_replica(f"r{n}", failing(grpc.StatusCode.UNAVAILABLE, num_tokens=5 if n == 0 else 0))
        for n in range(4)
    ]
    for replica in replicas[1:]:
        busier(replica)
    async with RouterUnderTest(*(replica.address for replica in replicas)) as router:
        answer = await router.generate()
    assert answer.failure is not None
    assert answer.failure.reason == "REPLICAS_FAILED"
    assert answer.failure.metadata["num_delivered_tokens"] == "5"


async def test_an_answer_with_stop_strings_cannot_go_on_elsewhere_and_says_how_many_tokens_came(
    start_replica: StartReplica,
) -> None:
    first = await start_replica("first", failing(grpc.StatusCode.UNAVAILABLE, num_tokens=5))
    other = busier(await start_replica("other"))
    async with RouterUnderTest(first.address, other.address) as router:
        answer = await router.generate(sampling={"stop": ["END"]})
    assert answer.token_ids == [0, 1, 2, 3, 4]
    assert answer.failure is not None
    assert answer.failure.code is grpc.StatusCode.UNAVAILABLE
    assert answer.failure.reason == "STREAM_BROKEN"
    assert answer.failure.metadata["num_delivered_tokens"] == "5"
    assert answer.failure.metadata["replica"] == "first"
    assert (answer.trailers["niyama-replica"], answer.trailers["niyama-deadline-met"]) == ("first", "false")
    assert not other.seen


async def test_a_request_that_fails_wherever_it_goes_does_not_visit_every_replica(start_replica: StartReplica) -> None:
    replicas = [await start_replica(f"r{n}", failing(grpc.StatusCode.INTERNAL)) for n in range(5)]
    async with RouterUnderTest(*(replica.address for replica in replicas)) as router:
        answer = await router.generate()
    assert answer.failure is not None
    assert answer.failure.reason == "REPLICAS_FAILED"
    assert sum(len(replica.seen) for replica in replicas) == 3


async def test_what_a_replica_finds_wrong_with_a_request_is_told_and_not_tried_elsewhere(
    start_replica: StartReplica,
) -> None:
    first = await start_replica("first", refusing_its_prompt)
    other = busier(await start_replica("other"))
    async with RouterUnderTest(first.address, other.address) as router:
        answer = await router.generate()
    assert answer.violated == ["prompt"]
    assert not other.seen


async def test_without_a_replica_a_request_waits_and_is_told_when_to_come_back() -> None:
    async with RouterUnderTest("127.0.0.1:1", placementWait="200ms") as router:
        began = asyncio.get_running_loop().time()
        answer = await router.generate()
        waited = asyncio.get_running_loop().time() - began
    assert answer.failure is not None
    assert answer.failure.code is grpc.StatusCode.UNAVAILABLE
    assert answer.failure.reason == "NO_REPLICA"
    assert answer.failure.retry_after is not None
    assert 0.2 <= waited < 2.0


async def test_a_class_that_rejects_on_overload_is_refused_at_the_door_with_a_delay(
    start_replica: StartReplica,
) -> None:
    slow = await start_replica("slow")
    slow.load = replace(slow.load, prefill_tokens_per_second=1.0)
    strict = [{"name": "strict", "interactive": {"ttft": "1s"}, "onOverload": "reject"}]
    async with RouterUnderTest(slow.address, qosClasses=strict) as router:
        answer = await router.generate(prompt="x" * 400)
        counts = (await router.status()).classes[0]
    assert answer.failure is not None
    assert answer.failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert answer.failure.reason == "OVERLOADED"
    # It would be 99 s too late, and nobody can tell for longer than a minute.
    assert answer.failure.retry_after == 60.0
    assert not slow.seen
    assert (counts.num_requests, counts.num_rejected) == (0, 1)


async def test_a_burst_is_spread_before_any_replica_has_reported_it(start_replica: StartReplica) -> None:
    replicas = [await start_replica(f"r{n}", answering(1, pause=0.2)) for n in range(2)]
    async with RouterUnderTest(*(replica.address for replica in replicas)) as router:
        await asyncio.gather(*(router.generate() for _ in range(20)))
    assert [len(replica.seen) for replica in replicas] == [10, 10]


async def test_a_prompt_counts_beside_the_reports_until_its_first_token(start_replica: StartReplica) -> None:
    first = await start_replica("a", saying(0.2, tokens(0, [1]), forever=True))
    second = await start_replica("b", answering(1))
    async with RouterUnderTest(first.address, second.address) as router:
        call = router.stub.Generate(generation_pb2.GenerateRequest(prompt="x" * 4000))
        await call.read()
        assert (await router.generate()).completion.replica == "b"
        await call.read()
        first.acts.append(answering(1))
        assert (await router.generate()).completion.replica == "a"
        call.cancel()


async def refusing_its_prompt(
    replica: ScriptedReplica, request: replica_pb2.ReplicaGenerateRequest, context: Context
) -> AsyncIterator[Event]:
    violation = FieldViolation("request.prompt", "has 5000 tokens: at most 4095 leave room for an answer")
    if not request.request.prompt:
        yield accepted(replica, request)
    await status.abort(context, status.invalid_argument(violation))
