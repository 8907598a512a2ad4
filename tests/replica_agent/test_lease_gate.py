"""Who may begin a stream on a replica that clients reach: whoever has a lease for just that, and nobody else."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from niyama.v1 import replica_pb2
from niyama_core.slo import Interactive, Promise
from niyama_runtime.leases import Leases
from niyama_runtime.signatures import SigningKeyError
from niyama_runtime.status import failure_of
from niyama_runtime.wire import promise_to_wire

from tests.replica_agent.agents import Answer, Caller, a_message, chat_promise, running_agent, seconds

KEY = b"k" * 32
PROMISE = Promise("chat", Interactive(ttft=6.0, tbt=0.05))


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    """A caller of a quick agent with a lease key."""
    (tmp_path / "key").write_bytes(KEY)
    async with running_agent(leaseKeyFile=str(tmp_path / "key")) as agent:
        yield agent.caller


def leased(
    message: replica_pb2.ReplicaGenerateRequest, *, key: bytes = KEY, replica: str = "llama-0", age: float = 0.0
) -> replica_pb2.ReplicaGenerateRequest:
    """Return the message with the lease that a router gave for it, so many seconds ago."""
    message.lease = Leases(key, unix_now=lambda: time.time() - age).issue(message, replica)
    return message


def asked(**fields: Any) -> replica_pb2.ReplicaGenerateRequest:  # noqa: ANN401
    return a_message("one", output=5, promise=promise_to_wire(PROMISE), **fields)


def refused(answer: Answer) -> tuple[grpc.StatusCode, str]:
    assert answer.failure is not None
    return answer.failure.code, answer.failure.reason


async def test_a_request_with_its_lease_is_served(caller: Caller) -> None:
    answer = await caller.generate(leased(asked()))
    assert answer.kinds == ["accepted", "tokens", "completion"]


async def test_a_lease_gates_the_beginning_of_a_stream_and_not_its_end(caller: Caller) -> None:
    message = leased(a_message("one", output=400, promise=promise_to_wire(PROMISE)), age=9.9)
    assert len((await caller.generate(message)).token_ids) == 400


async def test_a_request_without_a_lease_is_refused(caller: Caller) -> None:
    assert refused(await caller.generate(asked())) == (grpc.StatusCode.UNAUTHENTICATED, "LEASE_MISSING")


async def test_a_forged_lease_is_refused(caller: Caller) -> None:
    answer = await caller.generate(leased(asked(), key=b"forged--" * 4))
    assert refused(answer) == (grpc.StatusCode.UNAUTHENTICATED, "LEASE_INVALID")


async def test_an_expired_lease_is_refused(caller: Caller) -> None:
    answer = await caller.generate(leased(asked(), age=11.0))
    assert refused(answer) == (grpc.StatusCode.UNAUTHENTICATED, "LEASE_EXPIRED")


async def test_a_lease_is_for_one_replica_and_one_request(caller: Caller) -> None:
    elsewhere = leased(asked(), replica="llama-1")
    another = leased(asked())
    another.request.request_id = "two"
    for message in (elsewhere, another):
        assert refused(await caller.generate(message)) == (grpc.StatusCode.PERMISSION_DENIED, "LEASE_MISMATCH")


async def test_a_promise_that_the_client_has_changed_is_refused(caller: Caller) -> None:
    message = leased(asked())
    message.promise.interactive.ttft.CopyFrom(seconds(0.5))
    assert refused(await caller.generate(message)) == (grpc.StatusCode.PERMISSION_DENIED, "LEASE_MISMATCH")


async def test_a_promise_that_is_left_out_is_the_leases(caller: Caller) -> None:
    message = leased(asked())
    message.ClearField("promise")
    answer = await caller.generate(message)
    assert answer.messages[0].accepted.promise == promise_to_wire(PROMISE)


async def test_a_client_cannot_claim_that_it_has_waited_for_long(caller: Caller) -> None:
    message = leased(asked(elapsed=seconds(0.2)))
    message.elapsed.CopyFrom(seconds(300.0))
    assert (await caller.generate(message)).completion.ttft.ToNanoseconds() < 2e9


async def test_a_client_cannot_claim_that_it_has_just_come(caller: Caller) -> None:
    message = leased(asked(elapsed=seconds(3.0)))
    message.elapsed.CopyFrom(seconds(0.0))
    assert (await caller.generate(message)).completion.ttft.ToNanoseconds() > 3e9


async def test_an_id_that_is_live_is_refused_even_with_its_lease(caller: Caller) -> None:
    message = leased(a_message("one", output=2000, promise=promise_to_wire(PROMISE)))
    call = caller.stub.Generate(message)
    await anext(aiter(call))
    assert refused(await caller.generate(message))[0] is grpc.StatusCode.ALREADY_EXISTS
    call.cancel()


async def test_orders_are_not_taken_where_clients_come(caller: Caller) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as abort:
        await caller.stub.Abort(replica_pb2.AbortRequest(request_id="one"))
    with pytest.raises(grpc.aio.AioRpcError) as drain:
        await caller.stub.Drain(replica_pb2.DrainRequest())
    for error in (abort.value, drain.value):
        assert failure_of(error).code is grpc.StatusCode.PERMISSION_DENIED


async def test_without_a_key_whoever_calls_is_served() -> None:
    async with running_agent() as agent:
        answer = await agent.caller.generate(a_message("one", output=5, promise=chat_promise(), lease=b"whatever"))
    assert len(answer.token_ids) == 5


async def test_a_key_that_cannot_be_used_ends_the_start_and_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(SigningKeyError, match="gone"):
        async with running_agent(leaseKeyFile=str(tmp_path / "gone")):
            pass
