"""An agent with a real vLLM behind real gRPC: what its callers see."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from niyama.v1 import generation_pb2, load_pb2

from tests.replica_agent.agents import Answer, Caller, a_message, batch_promise, chat_promise
from tests.vllm.agent_process import AgentProcess

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

GREEDY = {"sampling": generation_pb2.Sampling(temperature=0)}
# Of a random model the likeliest token is the same again and again, and often no whole character.
DRAWN = {"sampling": generation_pb2.Sampling(temperature=1, seed=7)}


@pytest.fixture
async def caller(agent: AgentProcess) -> AsyncIterator[Caller]:
    caller = agent.caller()
    yield caller
    await caller.channel.close()


async def idle(caller: Caller) -> load_pb2.ReplicaLoad:
    async with asyncio.timeout(30):
        return await caller.load_without_work()


async def test_it_says_what_it_serves(caller: Caller) -> None:
    described = await caller.describe()
    assert (described.engine, described.engine_version, described.policy) == ("vllm", "0.32.0", "niyama")
    assert described.context_tokens == 2048
    assert described.bytes_per_token == 1.0
    health: Any = health_pb2_grpc.HealthStub(caller.channel)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING


async def test_an_answer_is_streamed_with_its_text_and_usage(caller: Caller) -> None:
    answer = await caller.generate(a_message(prompt="Tell me a story", request={"max_tokens": 30, **DRAWN}))
    assert answer.kinds == ["accepted", "tokens", "completion"]
    completion = answer.completion
    assert completion.num_prompt_tokens == len("Tell me a story")
    assert completion.num_output_tokens == len(answer.token_ids) == len(answer.emitted_us) <= 30
    assert "".join(tokens.text for tokens in answer.tokens)
    assert completion.on_time
    assert answer.emitted_us == sorted(answer.emitted_us)


async def test_greedy_answers_do_not_depend_on_company_or_class(caller: Caller) -> None:
    def ask(name: str, *, batch: bool) -> Coroutine[Any, Any, Answer]:
        promise = batch_promise() if batch else chat_promise()
        message = a_message(
            name, prompt="Once upon a time " * 30, promise=promise, request={"max_tokens": 20, **GREEDY}
        )
        return caller.generate(message)

    alone = await ask("alone", batch=False)
    together = await asyncio.gather(*(ask(f"r{i}", batch=i % 2 == 0) for i in range(12)))
    assert {tuple(answer.token_ids) for answer in together} == {tuple(alone.token_ids)}


async def test_a_prompt_that_was_read_before_is_cached(caller: Caller) -> None:
    prompt = "The same long beginning, over and over. " * 20
    first = await caller.generate(a_message("first", prompt=prompt, request={"max_tokens": 2}))
    second = await caller.generate(a_message("second", prompt=prompt, request={"max_tokens": 2}))
    assert first.completion.num_cached_tokens == 0
    assert second.completion.num_cached_tokens > len(prompt) // 2


async def test_a_conversation_goes_through_the_models_template(caller: Caller) -> None:
    chat = generation_pb2.Chat(messages=[generation_pb2.ChatMessage(role="user", content="Hello")])
    message = a_message(request={"max_tokens": 3})
    message.request.chat.CopyFrom(chat)
    answer = await caller.generate(message)
    assert answer.completion.num_prompt_tokens == len("<|user|>Hello\n<|assistant|>")


async def test_a_stop_string_ends_an_answer(caller: Caller) -> None:
    whole = await caller.generate(a_message(prompt="abc", request={"max_tokens": 40, **DRAWN}))
    text = "".join(tokens.text for tokens in whole.tokens)
    stop = next(character for character in text[3:] if character.isascii() and character not in text[:3])
    sampling = generation_pb2.Sampling(temperature=1, seed=7, stop=[stop])
    answer = await caller.generate(a_message(prompt="abc", request={"max_tokens": 40, "sampling": sampling}))
    assert answer.completion.finish_reason == generation_pb2.FINISH_REASON_STOP
    assert "".join(tokens.text for tokens in answer.tokens) == text[: text.index(stop)]
    assert (await idle(caller)).kv_used_tokens == 0


async def test_an_answer_goes_on_where_it_was_broken_off(caller: Caller) -> None:
    whole = await caller.generate(a_message(prompt="Go on", request={"max_tokens": 20, **GREEDY}))
    rest = await caller.generate(
        a_message(prompt="Go on", request={"max_tokens": 20, **GREEDY}, emitted_token_ids=whole.token_ids[:8])
    )
    assert rest.token_ids == whole.token_ids[8:]
    assert rest.completion.num_output_tokens == len(whole.token_ids)


async def test_a_replayed_answer_has_the_length_that_is_asked_for(caller: Caller) -> None:
    answer = await caller.generate(a_message(output=25))
    assert len(answer.token_ids) == 25
    assert answer.completion.finish_reason == generation_pb2.FINISH_REASON_STOP


async def test_what_is_asked_too_much_is_refused_with_its_field(caller: Caller) -> None:
    assert (await caller.generate(a_message(prompt="x" * 3000))).violated == ["request.prompt"]
    assert (await caller.generate(a_message(request={"max_tokens": 10_000}))).violated == ["request.max_tokens"]


async def test_tokens_that_the_model_does_not_have_are_refused(caller: Caller) -> None:
    message = a_message(request={"max_tokens": 2})
    message.request.prompt_tokens.ids.extend([5, 4_000_000])
    answer = await caller.generate(message)
    assert answer.failure is not None
    assert answer.failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (await caller.generate(a_message(output=3))).completion.num_output_tokens == 3


async def test_two_live_requests_cannot_have_one_id(caller: Caller) -> None:
    first = asyncio.create_task(caller.generate(a_message("same", output=60)))
    async with asyncio.timeout(20):
        while not (await caller.load()).classes:  # noqa: ASYNC110, another process's state
            await asyncio.sleep(0.01)
    second = await caller.generate(a_message("same", output=60))
    assert second.failure is not None
    assert second.failure.code is grpc.StatusCode.ALREADY_EXISTS
    assert (await first).completion.num_output_tokens == 60


async def test_clients_that_leave_free_what_they_held(caller: Caller) -> None:
    calls = [caller.stub.Generate(a_message(f"left-{i}", prompt="x" * 900, output=500)) for i in range(20)]
    async with asyncio.timeout(30):
        while not (await caller.load()).kv_used_tokens:  # noqa: ASYNC110, another process's state
            await asyncio.sleep(0.01)
    for call in calls:
        call.cancel()
    assert not (await idle(caller)).classes
    assert (await caller.generate(a_message("stays", output=5))).completion.num_output_tokens == 5


async def test_two_thousand_requests_with_random_aborts_leave_no_kv_and_starve_nobody(caller: Caller) -> None:
    rng = random.Random(5)
    promises = [chat_promise(), batch_promise(), batch_promise(ttlt=0.5), chat_promise(ttft=0.01, tbt=0.01)]
    limit = asyncio.Semaphore(100)

    async def one(index: int) -> str:
        async with limit:
            prompt = "x" * rng.randrange(1, 60)
            message = a_message(f"n{index}", prompt=prompt, output=rng.randrange(1, 6), promise=promises[index % 4])
            if rng.random() < 0.7:
                return (await caller.generate(message)).kinds[-1]
            call = caller.stub.Generate(message)
            await asyncio.sleep(rng.random() * 0.2)
            call.cancel()
            return "left"

    ended = await asyncio.gather(*map(one, range(2000)))
    assert {*ended} == {"completion", "left"}
    assert ended.count("completion") > 1000
    assert not (await idle(caller)).classes
