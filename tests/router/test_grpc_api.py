"""What a router says of itself: status, description, health, reflection, metrics, and what it does not do yet."""

import asyncio
import urllib.request
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from niyama.v1 import describe_pb2, generation_pb2, inference_pb2
from niyama_core.load import ReplicaLoad
from niyama_core.slo import Interactive, Promise, QosClasses
from niyama_router.admission import Admitted
from niyama_router.attainment import Attainment
from niyama_router.directory import Directory
from niyama_router.journey import Journey
from niyama_router.load_store import Sighting
from niyama_router.metrics import RouterMetrics
from niyama_router.outcome import Outcome, OutcomeKind
from niyama_runtime.grpc_channel import open_channel
from prometheus_client import generate_latest

from tests.router.conftest import StartReplica
from tests.router.harness import RouterUnderTest, until
from tests.router.scripted_replica import answering, relegated, saying, tokens


async def scrape(router: RouterUnderTest) -> dict[str, float]:
    """Return the metrics of ours by name and labels."""
    url = f"http://{router.endpoints.metrics}/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_the_status_names_every_class_and_every_replica(start_replica: StartReplica) -> None:
    replica = await start_replica("only", answering(4))
    async with RouterUnderTest(replica.address, placement="least-loaded", policy="sarathi-fcfs") as router:
        for _ in range(3):
            await router.generate()
        await router.generate(metadata=[("niyama-qos-class", "nightly")])
        status = await router.status()
    assert (status.cluster, status.router) == ("tests/cluster", "router-under-test")
    assert (status.placement, status.policy) == ("least-loaded", "sarathi-fcfs")
    assert status.load_board == inference_pb2.LOAD_BOARD_STATE_UNSPECIFIED
    chat, summarise, nightly = status.classes
    assert (chat.num_requests, chat.num_completed, chat.num_on_time) == (3, 3, 3)
    assert chat.num_deadline_tokens == 12
    assert summarise.num_requests == 0
    assert (nightly.num_completed, nightly.num_deadline_tokens) == (1, 0)
    (seen,) = status.replicas
    assert (seen.load.replica, seen.load.address, seen.placeable) == ("only", replica.address, True)
    assert seen.num_open == 0


async def test_open_requests_are_counted_where_they_are(start_replica: StartReplica) -> None:
    replica = await start_replica("only", saying(tokens(0, [1]), forever=True))
    async with RouterUnderTest(replica.address) as router:
        call = router.stub.Generate(generation_pb2.GenerateRequest(prompt="x"))
        await call.read()
        assert (await router.status()).replicas[0].num_open == 1
        call.cancel()

        async def is_free() -> bool:
            return (await router.status()).replicas[0].num_open == 0

        await until(is_free)


async def test_the_description_joins_rules_and_engine(start_replica: StartReplica) -> None:
    replica = await start_replica("only")
    async with RouterUnderTest(replica.address, maxOutputTokens=77, replay=True) as router:
        said = await router.stub.Describe(describe_pb2.DescribeRequest())
    assert (said.model, said.engine, said.profile) == ("test-model", "paced", "scripted")
    assert (said.max_output_tokens, said.context_tokens, said.bytes_per_token) == (77, 4096, 4.0)
    assert said.replay
    assert said.version


async def test_a_description_needs_no_replica() -> None:
    async with RouterUnderTest("127.0.0.1:1") as router:
        assert (await router.stub.Describe(describe_pb2.DescribeRequest())).model == "test-model"


async def test_health_and_reflection_are_there() -> None:
    async with RouterUnderTest("127.0.0.1:1") as router, open_channel(router.endpoints.grpc) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", "niyama.v1.Inference"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub: Any = reflection_pb2_grpc.ServerReflectionStub
        reflection = stub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        call = reflection.ServerReflectionInfo(iter([asked]))
        listed = await call.read()
        call.cancel()
    assert "niyama.v1.Inference" in [service.name for service in listed.list_services_response.service]


async def test_a_router_that_drains_says_not_serving_before_its_streams_have_ended(
    start_replica: StartReplica,
) -> None:
    replica = await start_replica("only", answering(3, pause=0.2))
    async with RouterUnderTest(replica.address) as router, open_channel(router.endpoints.grpc) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        asked = asyncio.create_task(router.generate())
        await until(lambda: replica.seen)
        stopping = asyncio.create_task(router.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not asked.done()
        assert (await asked).token_ids == [0, 1, 2]
        await stopping


async def test_a_stream_that_outlasts_the_grace_period_is_cut_off(start_replica: StartReplica) -> None:
    replica = await start_replica("only", saying(tokens(0, [1]), forever=True))
    async with RouterUnderTest(replica.address, drainGrace="200ms") as router:
        asked = asyncio.create_task(router.generate())
        await until(lambda: replica.seen)
        await router.stop()
        answer = await asked
        await until(lambda: replica.num_cancelled == 1)
    assert answer.failure is not None
    assert answer.failure.code is grpc.StatusCode.UNAVAILABLE


async def test_metrics_of_a_replica_that_is_gone_end() -> None:
    metrics, directory = RouterMetrics(has_board=True), Directory()
    load = ReplicaLoad("gone", "127.0.0.1:1", incarnation=1, engine="paced", model="llama")
    directory.see([Sighting(load, load_age=0, silent_seconds=0)], 100.0)
    journey = Journey(an_admitted_request(), replica="gone")
    metrics.began("chat")
    metrics.ended(Outcome(journey, OutcomeKind.COMPLETED, generation_pb2.Completion(on_time=True)))
    metrics.see(directory, 100.0, board_up=True)
    assert b'niyama_replica_info{engine="paced",model="llama",replica="gone"} 1.0' in generate_latest(metrics.registry)
    directory.see([], 1000.0)
    metrics.see(directory, 1000.0, board_up=False)
    assert b'replica="gone"' not in generate_latest(metrics.registry)
    assert b"niyama_load_board_up 0.0" in generate_latest(metrics.registry)


def test_a_clients_mistake_that_only_the_replica_sees_is_nobodys_broken_promise() -> None:
    attainment, classes = Attainment(), QosClasses({}, "chat")
    for kind in (OutcomeKind.COMPLETED, OutcomeKind.INVALID):
        attainment.began("chat")
        completion = generation_pb2.Completion(on_time=True) if kind is OutcomeKind.COMPLETED else None
        attainment.ended(Outcome(Journey(an_admitted_request()), kind, completion))
    (of_chat,) = attainment.by_class(classes)
    assert (of_chat.num_requests, of_chat.num_on_time, of_chat.num_failed) == (1, 1, 0)


def an_admitted_request() -> Admitted:
    promise = Promise("chat", Interactive(6.0, 0.05))
    return Admitted(generation_pb2.GenerateRequest(request_id="r"), promise, 0.0, 10, 10)


async def test_metrics_tell_how_requests_fared(start_replica: StartReplica) -> None:
    replica = await start_replica("only", answering(2), saying(relegated(), tokens(0, [1])))
    async with RouterUnderTest(replica.address, metrics="127.0.0.1:0") as router:
        await router.generate()
        await router.generate()
        await router.generate(prompt="")
        seen = await scrape(router)
    assert seen['niyama_requests_total{outcome="completed",qos_class="chat"}'] == 1
    assert seen['niyama_requests_total{outcome="failed",qos_class="chat"}'] == 1
    assert seen['niyama_requests_on_time_total{qos_class="chat",replica="only"}'] == 1
    assert seen['niyama_requests_relegated_total{qos_class="chat"}'] == 1
    assert seen['niyama_ttft_seconds_sum{qos_class="chat",replica="only"}'] == pytest.approx(0.12)
    assert seen['niyama_largest_tbt_seconds_count{qos_class="chat",replica="only"}'] == 1
    assert seen['niyama_ttlt_seconds_sum{qos_class="chat",replica="only"}'] == pytest.approx(0.45)
    assert seen["niyama_invalid_requests_total"] == 1
    assert seen['niyama_open_requests{qos_class="chat"}'] == 0
    assert seen['niyama_replicas{placeable="true"}'] == 1
    assert 0 <= seen['niyama_load_age_seconds{replica="only"}'] < 10
    assert "niyama_load_board_up" not in seen
