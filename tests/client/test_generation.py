"""A generation: tokens to loop over, what was promised, what became of it, and how it ends early."""

import asyncio
from collections.abc import Sequence

import grpc
import pytest
from niyama_client import Client, FinishReason, Generation, Interactive, Relegation, ServerError, UnavailableError
from niyama_runtime.status import Failure, unavailable

from tests.client.scripted_router import ScriptedRouter, Step, accepted, answer, completion, relegated, serve, tokens

WAITS = 30.0


async def test_tokens_come_with_text_id_position_and_the_time_of_their_emission() -> None:
    async with serve(ScriptedRouter(answer("Hel", "lo"))) as address, Client(address) as client:
        got = [token async for token in client.generate("Hi")]
    assert [(token.text, token.id, token.position, token.emitted) for token in got] == [
        ("Hel", 100, 0, 0.001),
        ("lo", 101, 1, 0.002),
    ]
    assert "".join(map(str, got)) == "Hello"


async def test_the_text_of_tokens_that_arrive_as_one_is_on_the_last_of_them() -> None:
    script = [accepted(), tokens("a", "b"), tokens("c", position=2), completion()]
    async with serve(ScriptedRouter(script)) as address, Client(address) as client:
        got = [token async for token in client.generate("Hi")]
    assert [token.text for token in got] == ["", "ab", "c"]
    assert [token.position for token in got] == [0, 1, 2]


async def test_the_promise_is_known_with_the_first_token_and_what_came_of_it_after_the_last() -> None:
    async with serve(ScriptedRouter(answer("a", "b"))) as address, Client(address) as client:
        generation = client.generate("Hi", request_id="r1")
        async for _ in generation:
            assert generation.accepted.promise.slo == Interactive(ttft=2.0, tbt=0.05)
            assert generation.accepted.replica == "replica-0"
    done = generation.completion
    assert (done.qos_class, done.engine, done.finish_reason) == ("chat", "paced", FinishReason.STOP)
    assert (done.ttft, done.largest_gap, done.ttlt) == (0.5, 0.04, 3.0)
    assert (done.on_time, done.relegation, done.num_moves) == (True, Relegation.NONE, 0)


async def test_what_is_not_known_yet_says_when_it_will_be() -> None:
    async with serve(ScriptedRouter(answer("a"))) as address, Client(address) as client:
        generation = client.generate("Hi")
        with pytest.raises(RuntimeError, match="first token"):
            _ = generation.accepted
        with pytest.raises(RuntimeError, match="to its end"):
            _ = generation.completion
        assert await generation.text() == "a"


async def test_a_relegation_is_told_while_the_request_waits() -> None:
    script = [accepted(), relegated(), tokens("a"), completion(relegation=1, num_moves=2)]
    async with serve(ScriptedRouter(script)) as address, Client(address) as client:
        generation = client.generate("Hi")
        async for _ in generation:
            assert generation.is_relegated
    assert (generation.completion.relegation, generation.completion.num_moves) == (Relegation.BEFORE_FIRST_TOKEN, 2)


async def test_an_answer_without_tokens_is_an_answer() -> None:
    script = [accepted(), completion(num_output_tokens=0)]
    async with serve(ScriptedRouter(script)) as address, Client(address) as client:
        assert await client.generate("Hi").text() == ""


async def test_leaving_the_loop_cancels_the_call_even_when_the_generation_is_kept() -> None:
    router = ScriptedRouter([accepted(), tokens("a"), tokens("b", position=1), WAITS])
    async with serve(router) as address, Client(address) as client:
        generation = client.generate("Hi")
        async for _ in generation:
            break
        await asyncio.wait_for(router.left.wait(), 5)
    assert [token.text for token in generation.tokens] == ["a"]


async def test_an_error_in_the_loop_cancels_the_call() -> None:
    router = ScriptedRouter([accepted(), tokens("a"), WAITS])
    async with serve(router) as address, Client(address) as client:
        with pytest.raises(ZeroDivisionError):
            await _stumble(client.generate("Hi"))
        await asyncio.wait_for(router.left.wait(), 5)


async def _stumble(generation: Generation) -> None:
    async for _ in generation:
        raise ZeroDivisionError


async def test_cancelling_a_generation_ends_its_loop_without_an_error() -> None:
    router = ScriptedRouter([accepted(), tokens("a"), WAITS])
    async with serve(router) as address, Client(address) as client:
        generation = client.generate("Hi")
        got = []
        async for token in generation:
            got.append(token.text)
            generation.cancel()
        await asyncio.wait_for(router.left.wait(), 5)
    assert got == ["a"]


async def test_a_task_that_is_cancelled_cancels_its_call_and_stays_cancelled() -> None:
    router = ScriptedRouter([accepted(), tokens("a"), WAITS])
    async with serve(router) as address, Client(address) as client:
        task = asyncio.create_task(client.generate("Hi").text())
        await asyncio.wait_for(router.asked.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(router.left.wait(), 5)


async def test_a_generation_that_never_begins_asks_nothing_of_the_cluster() -> None:
    router = ScriptedRouter(answer("a"))
    async with serve(router) as address, Client(address) as client:
        client.generate("Hi").cancel()
        never = client.generate("Hi")
        never.cancel()
        assert await never.text() == ""
    assert router.requests == []


async def test_a_generation_can_be_looped_over_once() -> None:
    async with serve(ScriptedRouter(answer("a"))) as address, Client(address) as client:
        generation = client.generate("Hi")
        assert await generation.text() == "a"
        with pytest.raises(RuntimeError, match="once"):
            await generation.text()


async def test_a_server_that_dies_after_the_first_token_is_an_error_that_says_how_far_it_came() -> None:
    broken = unavailable("replica-0 has died", reason="REPLICA_LOST")
    router = ScriptedRouter([accepted(), tokens("a"), tokens("b", position=1), broken])
    async with serve(router) as address, Client(address) as client:
        with pytest.raises(UnavailableError, match="2 tokens had been delivered") as caught:
            await client.generate("Hi").text()
    assert [token.text for token in caught.value.tokens] == ["a", "b"]
    assert caught.value.reason == "REPLICA_LOST"
    assert len(router.requests) == 1


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ([accepted(), tokens("a"), tokens("a"), completion()], "token 0 came where token 1 was due"),
        ([accepted(), tokens("b", position=1)], "token 1 came where token 0 was due"),
        ([accepted(), tokens("a")], "without saying what happened"),
        ([], "without saying what happened"),
    ],
)
async def test_a_stream_that_breaks_the_contract_is_an_error(script: Sequence[Step], complaint: str) -> None:
    async with serve(ScriptedRouter(script)) as address, Client(address) as client:
        with pytest.raises(ServerError, match=complaint) as caught:
            await client.generate("Hi").text()
    assert caught.value.reason == "BROKEN_CONTRACT"


async def test_many_generations_share_one_client() -> None:
    router = ScriptedRouter(answer("a", "b", "c"))

    async def read(generation: Generation) -> str:
        return await generation.text()

    async with serve(router) as address, Client(address) as client:
        answers = await asyncio.gather(*(read(client.generate(str(number))) for number in range(50)))
    assert answers == ["abc"] * 50
    assert len({request.request_id for request in router.requests}) == 50


async def test_a_server_that_ends_the_call_by_itself_is_not_taken_for_a_cancelled_task() -> None:
    ended = Failure(code=grpc.StatusCode.CANCELLED, message="the router ended the call", reason="ABORTED")
    async with serve(ScriptedRouter([accepted(), ended])) as address, Client(address) as client:
        with pytest.raises(ServerError, match="ended the call") as caught:
            await client.generate("Hi").text()
    assert caught.value.code == "CANCELLED"
