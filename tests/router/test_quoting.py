"""`Quote`: what could be promised, from bare forecasts at first to times that hold as often as they say."""

from dataclasses import replace

import grpc
import pytest
from niyama.v1 import generation_pb2, inference_pb2
from niyama_core.load import ClassLoad
from niyama_runtime.status import Failure, failure_of

from tests.router.conftest import StartReplica
from tests.router.harness import RouterUnderTest
from tests.router.scripted_replica import answering, saying

CHAT_ONLY = [{"name": "chat", "interactive": {"ttft": "2s", "tbt": "50ms"}}]


async def quote(router: RouterUnderTest, **fields: object) -> list[inference_pb2.ClassQuote]:
    request = inference_pb2.QuoteRequest(**{"num_prompt_tokens": 1000, **fields})  # type: ignore[arg-type]
    return list((await router.stub.Quote(request)).quotes)


async def refused(router: RouterUnderTest, **fields: object) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await quote(router, **fields)
    return failure_of(caught.value)


async def test_a_router_that_has_seen_nothing_gives_its_forecast_and_no_confidence(start_replica: StartReplica) -> None:
    replica = await start_replica("only", answering(4))
    async with RouterUnderTest(replica.address) as router:
        chat, summarise, nightly = await quote(router, num_output_tokens=100)
    assert [one.qos_class for one in (chat, summarise, nightly)] == ["chat", "summarise", "nightly"]
    assert (chat.replica, chat.confidence, chat.feasible) == ("only", 0.0, True)
    # 1,000 tokens at 10,000 a second and iterations of 10 ms: the scripted replica's load.
    assert chat.ttft.ToMilliseconds() == 110
    assert chat.ttlt.ToMilliseconds() == 1110


async def test_work_that_waits_is_in_the_quote(start_replica: StartReplica) -> None:
    replica = await start_replica("only", answering(4))
    replica.load = replace(replica.load, classes={"chat": ClassLoad(queued_prefill_tokens=50_000, num_queued=9)})
    async with RouterUnderTest(replica.address, qosClasses=CHAT_ONLY) as router:
        (chat,) = await quote(router)
    assert chat.ttft.ToMilliseconds() == 5110
    assert not chat.feasible


async def test_a_router_learns_how_far_to_believe_its_forecasts(start_replica: StartReplica) -> None:
    replica = await start_replica("only", answering(4))
    async with RouterUnderTest(replica.address) as router:
        for _ in range(19):
            assert (await router.generate()).failure is None
        chat, summarise, _ = await quote(router)
        assert (await quote(router, confidence=0.5))[0].confidence == pytest.approx(0.5)
    assert chat.confidence == pytest.approx(0.95)
    # The script answers sooner than any forecast.
    assert 0 <= chat.ttft.ToMilliseconds() < 110
    assert summarise.confidence == 0.0


async def test_requests_that_wait_are_learnt_from_too(start_replica: StartReplica) -> None:
    replica = await start_replica("only", saying(forever=True))
    async with RouterUnderTest(replica.address, qosClasses=CHAT_ONLY) as router:
        calls = [router.stub.Generate(generation_pb2.GenerateRequest(prompt="x")) for _ in range(19)]
        for call in calls:
            await call.read()
        (chat,) = await quote(router)
        for call in calls:
            call.cancel()
    assert chat.confidence == pytest.approx(0.95)
    assert not chat.HasField("ttft")
    assert not chat.feasible


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"num_prompt_tokens": 0}, "num_prompt_tokens", "1 or more"),
        ({"num_prompt_tokens": 4096}, "num_prompt_tokens", "less than 4096"),
        ({"num_output_tokens": 5000}, "num_output_tokens", "at most 4096"),
        ({"app": "a" * 129}, "app", "at most 128"),
        ({"confidence": 1.0}, "confidence", "below 1"),
        ({"confidence": float("nan")}, "confidence", "above 0"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused_by_field(
    fields: dict[str, object], field: str, said: str, start_replica: StartReplica
) -> None:
    replica = await start_replica("only", answering(1))
    async with RouterUnderTest(replica.address) as router:
        failure = await refused(router, **fields)
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = failure.violations
    assert violation.field == field
    assert said in violation.description


async def test_without_a_replica_nothing_is_quoted() -> None:
    async with RouterUnderTest("127.0.0.1:1") as router:
        failure = await refused(router)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_REPLICA")


async def test_to_ask_for_a_quote_changes_nobodys_turn(start_replica: StartReplica) -> None:
    replicas = [await start_replica(name, answering(1)) for name in ("a", "b")]
    async with RouterUnderTest(*[one.address for one in replicas], placement="round-robin") as router:
        for _ in range(4):
            await quote(router)
            await router.generate()
    assert [len(one.seen) for one in replicas] == [2, 2]
