"""A gRPC server from its binding to its end, over real connections."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from niyama.v1 import describe_pb2, generation_pb2, replica_pb2, replica_pb2_grpc
from niyama_runtime.addresses import BindError
from niyama_runtime.grpc_channel import open_channel
from niyama_runtime.grpc_server import GrpcServer, ServerSettings
from niyama_runtime.health import LIVENESS

SERVICE = "niyama.v1.Replica"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class _Replica(replica_pb2_grpc.ReplicaServicer):
    """Streams until `finish` is set; says in `cancelled` whether it was cut off."""

    def __init__(self) -> None:
        self.streaming = asyncio.Event()
        self.finish = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def Describe(  # noqa: N802
        self, request: describe_pb2.DescribeRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> describe_pb2.DescribeResponse:
        return describe_pb2.DescribeResponse(model="m")

    async def Generate(  # noqa: N802
        self, request: replica_pb2.ReplicaGenerateRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[generation_pb2.GenerateResponse]:
        yield generation_pb2.GenerateResponse()
        self.streaming.set()
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        yield generation_pb2.GenerateResponse()


def _replica() -> _Replica:
    return _Replica()  # type: ignore[abstract]  # the other methods answer UNIMPLEMENTED


def _watch(channel: grpc.aio.Channel, service: str = "") -> AsyncIterator[health_pb2.HealthCheckResponse]:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return aiter(stub.Watch(health_pb2.HealthCheckRequest(service=service)))


@contextlib.asynccontextmanager
async def _running(
    replica: _Replica | None = None,
    settings: ServerSettings = ServerSettings(),  # noqa: B008, frozen
) -> AsyncIterator[tuple[GrpcServer, grpc.aio.Channel]]:
    server = GrpcServer(settings, [SERVICE])
    replica_pb2_grpc.add_ReplicaServicer_to_server(replica or _replica(), server.registry)
    await server.start()
    async with open_channel(server.address) as channel:
        yield server, channel
        await server.stop(0)


async def _health(channel: grpc.aio.Channel, service: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    reply: health_pb2.HealthCheckResponse = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return reply.status


async def test_port_zero_gives_the_real_port() -> None:
    async with _running() as (server, channel):
        assert server.port > 0
        assert server.address == f"127.0.0.1:{server.port}"
        reply = await replica_pb2_grpc.ReplicaStub(channel).Describe(describe_pb2.DescribeRequest())
        assert reply.model == "m"


async def test_a_taken_port_is_one_clear_line() -> None:
    async with _running() as (server, _):
        second = GrpcServer(ServerSettings(address=server.address), [SERVICE])
        with pytest.raises(BindError, match=rf"cannot listen on {server.address}: Address already in use"):
            await second.start()


async def test_a_port_that_another_program_listens_on_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = GrpcServer(ServerSettings(address=f"127.0.0.1:{other.getsockname()[1]}"), [SERVICE])
        with pytest.raises(BindError, match="Address already in use"):
            await server.start()


async def test_the_port_of_a_stopped_server_can_be_taken_at_once() -> None:
    async with _running() as (first, channel):
        await _health(channel)
        await first.stop(0)
        async with _running(settings=ServerSettings(address=first.address)) as (_, again):
            assert await _health(again) == NOT_SERVING


async def test_a_channel_finds_a_server_that_was_started_again_soon() -> None:
    async with _running() as (first, channel):
        await _health(channel)
        await first.stop(0)
        with pytest.raises(grpc.aio.AioRpcError):
            await _health(channel)
        async with _running(settings=ServerSettings(address=first.address)):
            stub: Any = health_pb2_grpc.HealthStub(channel)
            await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=10)


async def test_the_address_of_a_server_that_does_not_listen_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = GrpcServer(ServerSettings(), [SERVICE]).address


async def test_a_server_says_serving_only_when_told() -> None:
    async with _running() as (server, channel):
        assert await _health(channel) == NOT_SERVING
        assert await _health(channel, SERVICE) == NOT_SERVING
        server.set_serving(True)
        assert await _health(channel) == SERVING
        server.set_serving(False, SERVICE)
        assert (await _health(channel), await _health(channel, SERVICE)) == (SERVING, NOT_SERVING)


async def test_a_server_is_alive_while_it_loads_and_while_it_drains() -> None:
    replica = _replica()
    async with _running(replica) as (server, channel):
        assert (await _health(channel), await _health(channel, LIVENESS)) == (NOT_SERVING, SERVING)
        server.set_serving(True)
        server.set_serving(False)
        assert (await _health(channel), await _health(channel, LIVENESS)) == (NOT_SERVING, SERVING)


async def test_a_connection_that_is_old_is_renewed_and_its_streams_go_on() -> None:
    replica = _replica()
    async with _running(replica, ServerSettings(max_connection_age=0.2)) as (_, channel):
        stub = replica_pb2_grpc.ReplicaStub(channel)
        stream = aiter(stub.Generate(replica_pb2.ReplicaGenerateRequest()))
        await anext(stream)
        await asyncio.sleep(0.6)
        assert (await stub.Describe(describe_pb2.DescribeRequest())).model == "m"
        replica.finish.set()
        await anext(stream)
        assert not replica.cancelled.is_set()


async def test_the_health_of_a_service_that_is_not_here_is_not_found() -> None:
    async with _running() as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _health(channel, "nobody.v1.Nothing")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watchers_see_each_change_and_the_end() -> None:
    async with _running() as (server, channel):
        stream = _watch(channel, SERVICE)
        assert (await anext(stream)).status == NOT_SERVING
        server.set_serving(True)
        assert (await anext(stream)).status == SERVING
        await server.stop(grace=60)
        assert (await anext(stream)).status == NOT_SERVING
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_watcher_does_not_hold_up_the_end() -> None:
    async with _running() as (server, channel):
        assert (await anext(_watch(channel))).status == NOT_SERVING
        before = time.monotonic()
        await server.stop(grace=60)
        assert time.monotonic() - before < 10


async def test_reflection_tells_all_services() -> None:
    async with _running() as (server, _):

        def services() -> list[str]:
            with grpc.insecure_channel(server.address) as channel:
                return list(ProtoReflectionDescriptorDatabase(channel).get_services())

        assert {SERVICE, "grpc.health.v1.Health"} <= set(await asyncio.to_thread(services))


async def test_stopping_lets_a_running_stream_finish_and_refuses_new_calls() -> None:
    replica = _replica()
    async with _running(replica) as (server, channel):
        stub = replica_pb2_grpc.ReplicaStub(channel)
        stream = aiter(stub.Generate(replica_pb2.ReplicaGenerateRequest()))
        await anext(stream)
        stopping = asyncio.create_task(server.stop(grace=60))
        await asyncio.sleep(0.05)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Describe(describe_pb2.DescribeRequest())
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        replica.finish.set()
        await anext(stream)
        await stopping
        assert not replica.cancelled.is_set()


async def test_a_stream_that_outlives_the_grace_is_cancelled() -> None:
    replica = _replica()
    async with _running(replica) as (server, channel):
        call = replica_pb2_grpc.ReplicaStub(channel).Generate(replica_pb2.ReplicaGenerateRequest())
        await anext(aiter(call))
        await replica.streaming.wait()
        await server.stop(grace=0.05)
        await asyncio.wait_for(replica.cancelled.wait(), 10)


async def test_a_client_that_leaves_cancels_its_stream() -> None:
    replica = _replica()
    async with _running(replica) as (_, channel):
        call = replica_pb2_grpc.ReplicaStub(channel).Generate(replica_pb2.ReplicaGenerateRequest())
        await anext(aiter(call))
        await replica.streaming.wait()
        call.cancel()
        await asyncio.wait_for(replica.cancelled.wait(), 10)


async def test_a_message_over_the_limit_is_refused_and_the_server_lives_on() -> None:
    async with _running(settings=ServerSettings(max_message_bytes=1000)) as (_, channel):
        stub = replica_pb2_grpc.ReplicaStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Abort(replica_pb2.AbortRequest(request_id="x" * 2000))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await stub.Describe(describe_pb2.DescribeRequest())


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("nonsense", "write host:port"),
        ("127.0.0.1", "write host:port"),
        ("127.0.0.1:x", "write host:port"),
        ("::1:80", "write host:port"),
        ("127.0.0.1:65536", "ports end at 65535"),
        ("192.0.2.1:0", "cannot listen on 192.0.2.1:0"),
        ("no such host:0", "cannot listen on no such host:0"),
    ],
)
async def test_a_bad_address_is_one_clear_line(address: str, problem: str) -> None:
    with pytest.raises(BindError, match=problem) as refused:
        await GrpcServer(ServerSettings(address=address), [SERVICE]).start()
    assert "\n" not in str(refused.value)
