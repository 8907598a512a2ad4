"""Errors keep their reason on the way from a server to a caller."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama.v1 import describe_pb2, replica_pb2_grpc
from niyama_runtime import status
from niyama_runtime.grpc_channel import open_channel
from niyama_runtime.grpc_server import GrpcServer, ServerSettings
from niyama_runtime.status import Failure, FieldViolation

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
failures = st.builds(
    Failure,
    code=st.sampled_from([code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]),
    message=words,
    violations=st.lists(st.builds(FieldViolation, field=words, description=words), max_size=4).map(tuple),
    retry_after=st.none() | st.integers(0, 10**6).map(lambda ms: ms / 1000),
    reason=st.from_regex("[A-Z_]{1,20}", fullmatch=True),
    metadata=st.dictionaries(words, words, max_size=3),
)


class _Failing(replica_pb2_grpc.ReplicaServicer):
    def __init__(self, failure: Failure) -> None:
        self.failure = failure

    async def Describe(  # noqa: N802
        self, request: describe_pb2.DescribeRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> describe_pb2.DescribeResponse:
        context.set_trailing_metadata((("niyama-replica", "a"),))
        await status.abort(context, self.failure)


@contextlib.asynccontextmanager
async def _server_failing_with(failure: Failure) -> AsyncIterator[str]:
    servicer = _Failing(failure)  # type: ignore[abstract]
    server = GrpcServer(ServerSettings(), ["niyama.v1.Replica"])
    replica_pb2_grpc.add_ReplicaServicer_to_server(servicer, server.registry)
    await server.start()
    yield server.address
    await server.stop(0)


async def _error_from(address: str) -> grpc.aio.AioRpcError:
    async with open_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await replica_pb2_grpc.ReplicaStub(channel).Describe(describe_pb2.DescribeRequest())
        return caught.value


@given(failures)
def test_a_failure_survives_the_trailer(failure: Failure) -> None:
    trailer = status.trailing_metadata(failure)
    assert status.failure_of_call(failure.code, failure.message, metadata=trailer) == failure


async def test_an_overload_reaches_the_caller_with_delay_and_reason() -> None:
    failure = status.overloaded("the queue is full", retry_after=1.25, metadata={"qos_class": "chat"})
    async with _server_failing_with(failure) as address:
        error = await _error_from(address)
    assert status.failure_of(error) == failure
    trailer = dict(error.trailing_metadata())
    assert trailer["grpc-retry-pushback-ms"] == "1250"
    assert trailer["niyama-replica"] == "a", "what was set before must be kept"


async def test_a_synchronous_caller_gets_the_same() -> None:
    failure = status.unavailable("no replica", reason="NO_REPLICA", retry_after=0.5)

    def call(address: str) -> Failure:
        with grpc.insecure_channel(address) as channel:
            try:
                replica_pb2_grpc.ReplicaStub(channel).Describe(describe_pb2.DescribeRequest())
            except grpc.RpcError as error:
                return status.failure_of(error)
        raise AssertionError("the call did not fail")

    async with _server_failing_with(failure) as address:
        assert await asyncio.to_thread(call, address) == failure


async def test_a_bad_request_names_its_fields() -> None:
    violations = (FieldViolation("qos.ttft", "must be above zero"), FieldViolation("prompt", "is empty"))
    async with _server_failing_with(status.invalid_argument(*violations)) as address:
        failure = status.failure_of(await _error_from(address))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.violations == violations
    assert failure.message == "qos.ttft: must be above zero; prompt: is empty"


async def test_an_error_that_quotes_a_huge_input_still_arrives() -> None:
    violations = [FieldViolation("qos.qos_class", "unknown class " + "ü" * 100_000)] * 100
    async with _server_failing_with(status.invalid_argument(*violations)) as address:
        failure = status.failure_of(await _error_from(address))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.violations[0].description.startswith("unknown class üüü")
    assert failure.reason == "INVALID_REQUEST"


@pytest.mark.parametrize(("delay", "told"), [(float("inf"), 86400.0), (float("nan"), 0.0), (-1.0, 0.0)])
def test_a_delay_that_no_message_holds_is_made_one_that_does(delay: float, told: float) -> None:
    trailer = status.trailing_metadata(status.overloaded("full", retry_after=delay))
    assert status.failure_of_call(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", metadata=trailer).retry_after == told


def test_a_reason_survives_whatever_is_told_beside_it() -> None:
    failure = status.overloaded("full", retry_after=1.0, metadata={f"figure-{i}": "x" * 1000 for i in range(100)})
    trailer = status.trailing_metadata(failure)
    assert sum(len(value) for _, value in trailer) < 4100
    assert status.failure_of_call(failure.code, failure.message, metadata=trailer).reason == "OVERLOADED"


async def test_nobody_there_is_a_failure_without_details() -> None:
    failure = status.failure_of(await _error_from("127.0.0.1:1"))
    assert failure.code is grpc.StatusCode.UNAVAILABLE
    assert (failure.violations, failure.retry_after, failure.reason) == ((), None, "")


@pytest.mark.parametrize("rubbish", [b"\xff\xff\xff", b"", "text"])
def test_rubbish_details_are_left_out(rubbish: str | bytes) -> None:
    failure = status.failure_of_call(
        grpc.StatusCode.INTERNAL,
        "broken",
        metadata=[("grpc-status-details-bin", rubbish), ("grpc-retry-pushback-ms", "x")],
    )
    assert failure == Failure(code=grpc.StatusCode.INTERNAL, message="broken")


@pytest.mark.parametrize(("pushback", "seconds"), [("1500", 1.5), ("0", 0.0), ("-1", None)])
def test_the_pushback_of_another_server_counts_as_its_delay(pushback: str, seconds: float | None) -> None:
    failure = status.failure_of_call(grpc.StatusCode.UNAVAILABLE, "", metadata=[("grpc-retry-pushback-ms", pushback)])
    assert failure.retry_after == seconds


def test_an_error_that_no_server_sent_is_unknown() -> None:
    assert status.failure_of(grpc.RpcError("lost")) == Failure(code=grpc.StatusCode.UNKNOWN, message="lost")
