"""`niyama.v1.Replica` over real gRPC: what a router sees."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from itertools import pairwise
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from niyama.v1 import generation_pb2, qos_pb2, replica_pb2
from niyama_agent.engine import EngineDiedError
from niyama_agent.metrics import AgentMetrics
from niyama_core.journal import IterationRecord

from tests.replica_agent.agents import (
    QUICK,
    Caller,
    Running,
    a_message,
    batch_promise,
    chat_promise,
    running_agent,
    seconds,
)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A quick agent that takes replays."""
    async with running_agent() as agent:
        yield agent


@pytest.fixture
async def caller(running: Running) -> Caller:
    """A caller of it."""
    return running.caller


async def first_tokens(call: AsyncIterable[generation_pb2.GenerateResponse]) -> None:
    """Read a stream until its first token."""
    async for message in call:
        if message.HasField("tokens"):
            return


async def test_a_stream_begins_with_accepted_and_ends_with_completion(caller: Caller) -> None:
    answer = await caller.generate(a_message("one", output=20))
    assert answer.kinds == ["accepted", "tokens", "completion"]
    accepted = answer.messages[0].accepted
    assert (accepted.request_id, accepted.replica, accepted.engine) == ("one", "llama-0", "paced")
    assert accepted.promise.interactive.ttft == seconds(6.0)
    assert (answer.completion.replica, answer.completion.engine) == ("llama-0", "paced")
    assert answer.completion.qos_class == "chat"
    assert answer.completion.finish_reason == generation_pb2.FINISH_REASON_STOP
    assert answer.completion.num_output_tokens == len(answer.token_ids) == 20


async def test_tokens_are_numbered_without_gaps_and_carry_words_and_times(caller: Caller) -> None:
    answer = await caller.generate(a_message(output=30))
    position = 0
    for tokens in answer.tokens:
        assert tokens.position == position
        assert len(tokens.text.split()) == len(tokens.token_ids) == len(tokens.emitted_us)
        position += len(tokens.token_ids)
    assert position == 30
    assert answer.emitted_us == sorted(answer.emitted_us)


async def test_the_closing_figures_are_those_of_the_tokens(caller: Caller) -> None:
    answer = await caller.generate(a_message(output=30))
    instants = [us / 1e6 for us in answer.emitted_us]
    closing = answer.completion
    gaps = [late - early for early, late in pairwise(instants)]
    assert closing.ttft.ToNanoseconds() / 1e9 == pytest.approx(instants[0], abs=2e-6)
    assert closing.ttlt.ToNanoseconds() / 1e9 == pytest.approx(instants[-1], abs=2e-6)
    assert closing.largest_tbt.ToNanoseconds() / 1e9 == pytest.approx(max(gaps), abs=3e-6)
    assert closing.num_prompt_tokens == 4
    assert closing.on_time
    assert closing.num_late_tokens == 0


async def test_time_spent_before_counts(caller: Caller) -> None:
    answer = await caller.generate(a_message(output=3, elapsed=seconds(100.0)))
    assert 100.0 < answer.completion.ttft.ToNanoseconds() / 1e9 < 110.0
    assert not answer.completion.on_time
    assert answer.completion.num_late_tokens == 1


async def test_the_promise_of_a_batch_request_is_its_whole_answer(caller: Caller) -> None:
    kept = await caller.generate(a_message("kept", output=5, promise=batch_promise(ttlt=60.0)))
    broken = await caller.generate(a_message("broken", output=5, promise=batch_promise(ttlt=60.0), elapsed=seconds(61)))
    assert kept.completion.on_time
    assert not broken.completion.on_time
    assert broken.completion.num_late_tokens == 0


async def test_an_answer_goes_on_behind_the_tokens_that_the_client_has(caller: Caller) -> None:
    whole = await caller.generate(a_message("whole", output=25))
    rest = await caller.generate(a_message("rest", output=25, emitted_token_ids=whole.token_ids[:10]))
    assert rest.tokens[0].position == 10
    assert whole.token_ids[:10] + rest.token_ids == whole.token_ids
    assert rest.completion.num_output_tokens == 25
    assert not rest.completion.HasField("ttft")
    assert rest.completion.num_prompt_tokens == 4


async def test_chat_and_token_ids_are_prompts_too(caller: Caller) -> None:
    chat = generation_pb2.Chat(messages=[generation_pb2.ChatMessage(role="user", content="hello")])
    told = await caller.generate(a_message("chat", output=3, prompt="", request={"chat": chat}))
    ids = generation_pb2.TokenIds(ids=range(50))
    counted = await caller.generate(a_message("ids", output=3, prompt="", request={"prompt_tokens": ids}))
    assert told.completion.num_prompt_tokens > 2
    assert counted.completion.num_prompt_tokens == 50


async def test_a_relegated_request_is_told_so_and_finishes(caller: Caller) -> None:
    answer = await caller.generate(a_message(prompt="x" * 40_000, output=3, promise=chat_promise(ttft=0.001)))
    assert answer.kinds == ["accepted", "relegated", "tokens", "completion"]
    assert answer.messages[1].relegated.before_first_token
    assert answer.completion.relegation == generation_pb2.RELEGATION_BEFORE_FIRST_TOKEN


async def test_a_request_that_the_router_relegated_stays_so(caller: Caller) -> None:
    answer = await caller.generate(a_message(output=3, relegated=True, num_moves=2))
    assert answer.kinds == ["accepted", "tokens", "completion"]
    assert answer.completion.relegation == generation_pb2.RELEGATION_BEFORE_FIRST_TOKEN
    assert answer.completion.num_moves == 2
    assert answer.completion.on_time


async def test_a_caller_that_leaves_frees_everything(caller: Caller) -> None:
    call = caller.stub.Generate(a_message(prompt="x" * 4000, output=4000))
    await first_tokens(call)
    assert (await caller.load()).kv_used_tokens > 1000
    call.cancel()
    async with asyncio.timeout(5):
        await caller.load_without_work()


async def test_a_caller_that_does_not_read_holds_nobody_up_and_frees_everything_when_it_leaves(caller: Caller) -> None:
    idle = caller.stub.Generate(a_message("idle", output=4096))
    await anext(aiter(idle))
    answer = await caller.generate(a_message("busy", output=200))
    assert answer.completion.num_output_tokens == 200
    idle.cancel()
    async with asyncio.timeout(5):
        await caller.load_without_work()


async def test_abort_ends_the_stream_of_its_owner(caller: Caller) -> None:
    streaming = asyncio.create_task(caller.generate(a_message("one", output=4000)))
    while not (await caller.stub.Abort(replica_pb2.AbortRequest(request_id="one"))).aborted:
        pass
    answer = await streaming
    assert answer.failure is not None
    assert answer.failure.code is grpc.StatusCode.CANCELLED
    assert not (await caller.stub.Abort(replica_pb2.AbortRequest(request_id="one"))).aborted


async def test_a_live_id_is_refused_and_its_owner_goes_on(caller: Caller) -> None:
    call = caller.stub.Generate(a_message("one", output=500))
    await anext(aiter(call))
    again = await caller.generate(a_message("one", output=5))
    assert again.failure is not None
    assert again.failure.code is grpc.StatusCode.ALREADY_EXISTS
    kinds = [message.WhichOneof("event") async for message in call]
    assert kinds[-1] == "completion"


async def test_describe_says_what_is_served(caller: Caller) -> None:
    described = await caller.describe()
    assert (described.model, described.engine, described.policy) == ("llama", "paced", "niyama")
    assert described.profile == "a100-llama3-8b"
    assert described.bytes_per_token == 4.0
    assert described.context_tokens == 16_384
    assert described.max_output_tokens == 4096
    assert described.replay
    assert described.version


async def test_the_load_tells_of_work_by_class(caller: Caller) -> None:
    call = caller.stub.Generate(a_message(prompt="x" * 40_000, output=2000, promise=batch_promise()))
    await anext(aiter(call))
    load = await caller.load()
    assert [each.qos_class for each in load.classes] == ["summarise"]
    assert (load.replica, load.engine, load.model) == ("llama-0", "paced", "llama")
    assert load.kv_used_tokens + load.kv_free_tokens == 430_000
    assert load.prefill_tokens_per_second > 1000
    call.cancel()
    async with asyncio.timeout(5):
        idle = await caller.load_without_work()
    assert idle.sequence > load.sequence
    assert idle.incarnation == load.incarnation


async def test_a_drain_by_call_hands_back_what_is_new_and_finishes_what_runs(running: Running) -> None:
    caller = running.caller
    call = caller.stub.Generate(a_message("runs", output=300))
    await first_tokens(call)
    drained = await caller.stub.Drain(replica_pb2.DrainRequest())
    assert (drained.num_handed_back, drained.num_running) == (0, 1)
    new = await caller.generate(a_message("new", output=3))
    assert new.kinds == ["handed_back"]
    assert new.messages[0].handed_back.reason == generation_pb2.HAND_BACK_REASON_DRAINING
    health: Any = health_pb2_grpc.HealthStub(caller.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service="niyama.v1.Replica"))
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await caller.load()).draining
    kinds = [message.WhichOneof("event") async for message in call]
    assert kinds[-1] == "completion"


async def test_what_outlasts_the_grace_of_a_drain_ends_with_a_clear_error(caller: Caller) -> None:
    streaming = asyncio.create_task(caller.generate(a_message("long", output=4096)))
    while not (await caller.load()).kv_used_tokens:
        pass
    await caller.stub.Drain(replica_pb2.DrainRequest(grace=seconds(0.05)))
    answer = await streaming
    assert answer.failure is not None
    assert answer.failure.code is grpc.StatusCode.UNAVAILABLE
    assert answer.failure.reason == "DRAINING"
    assert answer.token_ids


async def test_an_agent_that_is_told_to_stop_finishes_what_runs(running: Running) -> None:
    call = running.caller.stub.Generate(a_message(output=200))
    await first_tokens(call)
    running.stop.set()
    kinds = [message.WhichOneof("event") async for message in call]
    assert kinds[-1] == "completion"
    async with asyncio.timeout(5):
        await running.served


async def test_when_the_engine_dies_streams_fail_clearly_and_the_agent_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(metrics: AgentMetrics, record: IterationRecord) -> None:
        if record.index == 10:
            raise RuntimeError("broken")

    monkeypatch.setattr(AgentMetrics, "observe_iteration", fail)
    async with running_agent() as running:
        answer = await running.caller.generate(a_message(output=100))
        assert answer.failure is not None
        assert answer.failure.code is grpc.StatusCode.UNAVAILABLE
        assert answer.failure.reason == "ENGINE_DIED"
        assert len(answer.token_ids) == 10
        with pytest.raises(EngineDiedError):
            await running.served


async def test_health_and_reflection_name_the_service(caller: Caller) -> None:
    health: Any = health_pb2_grpc.HealthStub(caller.channel)
    for name in ("", "niyama.v1.Replica"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    mirror: Any = reflection_pb2_grpc.ServerReflectionStub(caller.channel)  # type: ignore[arg-type] # stubs without aio
    call = mirror.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="*")]))
    services = [service.name async for reply in call for service in reply.list_services_response.service]
    assert "niyama.v1.Replica" in services


async def test_a_server_that_takes_no_replays_refuses_them_and_answers_others() -> None:
    async with running_agent(engine={**QUICK, "replay": False}) as running:
        refused = await running.caller.generate(a_message(output=5))
        assert refused.violated == ["request.replay_output_tokens"]
        answer = await running.caller.generate(a_message(request={"max_tokens": 7}))
        assert answer.completion.num_output_tokens <= 7


def sampled(**fields: float) -> replica_pb2.ReplicaGenerateRequest:
    """Return a request with sampling parameters."""
    return a_message(request={"sampling": generation_pb2.Sampling(**fields)})  # type: ignore[arg-type] # by name


TURN = generation_pb2.ChatMessage(role="wizard", content="hello")
BAD = [
    (a_message(""), "request.request_id"),
    (a_message("x" * 129), "request.request_id"),
    (a_message(prompt=""), "request.prompt"),
    (a_message(request={"prompt_tokens": generation_pb2.TokenIds()}), "request.prompt_tokens"),
    (a_message(request={"chat": generation_pb2.Chat()}), "request.chat"),
    (a_message(request={"chat": generation_pb2.Chat(messages=[TURN])}), "request.chat.messages[0].role"),
    (a_message(prompt="x" * 4 * 16_384), "request.prompt"),
    (a_message(request={"model": "another"}), "request.model"),
    (a_message(request={"max_tokens": 0}), "request.max_tokens"),
    (a_message(request={"max_tokens": 4097}), "request.max_tokens"),
    (a_message(request={"max_tokens": 2**32 - 1}), "request.max_tokens"),
    (a_message(output=4097), "request.replay_output_tokens"),
    (a_message(output=11, request={"max_tokens": 10}), "request.replay_output_tokens"),
    (a_message(request={"max_tokens": 2}, emitted_token_ids=[1, 2, 3]), "emitted_token_ids"),
    (a_message(promise=qos_pb2.Promise(qos_class="chat")), "promise.slo"),
    (a_message(promise=qos_pb2.Promise(batch=qos_pb2.Batch(ttlt=seconds(1)))), "promise.qos_class"),
    (a_message(promise=chat_promise(ttft=0.0)), "promise.interactive.ttft"),
    (a_message(promise=chat_promise(ttft=-1.0)), "promise.interactive.ttft"),
    (a_message(promise=chat_promise(tbt=0.0)), "promise.interactive.tbt"),
    (a_message(promise=chat_promise(ttft=1e9)), "promise.interactive.ttft"),
    (a_message(promise=chat_promise(tbt=1e9)), "promise.interactive.tbt"),
    (a_message(promise=batch_promise(ttlt=1e9)), "promise.batch.ttlt"),
    (a_message(elapsed=seconds(-1)), "elapsed"),
    (a_message(elapsed=seconds(1e9)), "elapsed"),
    (
        a_message(request={"sampling": generation_pb2.Sampling(temperature=float("nan"))}),
        "request.sampling.temperature",
    ),
    (a_message(request={"sampling": generation_pb2.Sampling(top_p=float("inf"))}), "request.sampling.top_p"),
    (
        a_message(request={"sampling": generation_pb2.Sampling(presence_penalty=3)}),
        "request.sampling.presence_penalty",
    ),
]


async def test_bad_requests_are_refused_by_field_and_the_process_lives_on(caller: Caller) -> None:
    for message, field in BAD:
        assert (await caller.generate(message)).violated == [field], message
    answer = await caller.generate(a_message(output=3))
    assert answer.completion.num_output_tokens == 3


async def test_everything_that_is_wrong_is_said_at_once(caller: Caller) -> None:
    answer = await caller.generate(replica_pb2.ReplicaGenerateRequest())
    assert answer.violated == ["request.request_id", "request.prompt", "promise"]


async def test_the_context_may_be_limited_and_ends_the_answer() -> None:
    async with running_agent(limits={"contextTokens": 100, "maxOutputTokens": 4096}) as small:
        long = await small.caller.generate(a_message(prompt="x" * 400))
        assert long.violated == ["request.prompt"]
        fitting = await small.caller.generate(a_message(prompt="x" * 4 * 90))
        assert fitting.completion.num_output_tokens == 10
        assert fitting.completion.finish_reason == generation_pb2.FINISH_REASON_LENGTH


async def test_a_message_over_the_size_limit_does_not_end_the_process(caller: Caller) -> None:
    answer = await caller.generate(a_message(prompt="x" * 20_000_000))
    assert answer.failure is not None
    assert (await caller.generate(a_message(output=3))).completion.num_output_tokens == 3
