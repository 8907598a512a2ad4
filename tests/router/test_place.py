"""Places: where a request goes that its client sends itself, by what promise, and what the router keeps of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from niyama.v1 import inference_pb2, qos_pb2
from niyama_core.load import ClassLoad
from niyama_core.slo import Interactive
from niyama_runtime.clock import unix_seconds
from niyama_runtime.leases import Leases
from niyama_runtime.status import Failure, failure_of

from tests.router.conftest import StartReplica
from tests.router.harness import Metadata, RouterUnderTest, until
from tests.router.scripted_replica import ScriptedReplica

KEY = b"k" * 32


async def place(router: RouterUnderTest, *, metadata: Metadata = (), **fields: Any) -> inference_pb2.PlaceResponse:  # noqa: ANN401
    asked = inference_pb2.PlaceRequest(**{"request_id": "r1", "num_prompt_tokens": 100, **fields})
    return await router.stub.Place(asked, metadata=tuple(metadata), timeout=5)


async def failure(router: RouterUnderTest, **fields: Any) -> Failure:  # noqa: ANN401
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await place(router, **fields)
    return failure_of(caught.value)


def violated(found: Failure) -> Sequence[str]:
    return [violation.field for violation in found.violations]


async def test_a_place_names_the_replica_the_promise_and_for_how_long(start_replica: StartReplica) -> None:
    replica = await start_replica("only")
    async with RouterUnderTest(replica.address, leaseValidFor="3s") as router:
        placed = await place(router, metadata=[("niyama-ttft-ms", "4000")])
    assert (placed.replica, placed.address) == ("only", replica.address)
    assert placed.promise.interactive.ttft.ToMilliseconds() == 4000
    assert placed.lease_valid_for.ToMilliseconds() == 3000
    assert 0 < placed.elapsed.ToNanoseconds() < 1e9
    assert placed.resume_token
    assert placed.lease == b"", "without a key there is nothing to sign"
    assert replica.seen == []


async def test_a_lease_is_for_this_request_on_this_replica(start_replica: StartReplica, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    replica = await start_replica("only")
    async with RouterUnderTest(replica.address, leaseKeyFile=str(tmp_path / "key")) as router:
        placed = await place(router)
    lease = Leases(KEY, unix_now=unix_seconds).read(placed.lease)
    assert (lease.request_id, lease.replica) == ("r1", "only")
    assert lease.promise.slo == Interactive(ttft=6.0, tbt=0.05)
    assert not lease.is_expired


async def test_a_router_carries_leases_itself(start_replica: StartReplica, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    replica = await start_replica("only")
    async with RouterUnderTest(replica.address, leaseKeyFile=str(tmp_path / "key")) as router:
        await router.generate(request_id="mine")
    lease = Leases(KEY, unix_now=unix_seconds).read(replica.seen[0].lease)
    assert (lease.request_id, lease.replica) == ("mine", "only")


async def test_what_is_wrong_is_named_by_the_fields_of_the_call(start_replica: StartReplica) -> None:
    replica = await start_replica("only")
    async with RouterUnderTest(replica.address) as router:
        nothing = await failure(router, num_prompt_tokens=0)
        long = await failure(router, num_prompt_bytes=4 * 10_000, max_tokens=10_000)
        unknown = await failure(router, qos=qos_pb2.Qos(qos_class="gold"))
        forged = await failure(router, resume_token=b"\xff\xff")
    assert violated(nothing) == ["num_prompt_tokens"]
    assert violated(long) == ["max_tokens", "num_prompt_tokens"]
    assert violated(unknown) == ["qos.qos_class"]
    assert violated(forged) == ["resume_token"]


async def test_a_place_that_is_asked_for_again_keeps_promise_and_arrival(start_replica: StartReplica) -> None:
    replica = await start_replica("only")
    async with RouterUnderTest(replica.address) as router:
        first = await place(router, qos=qos_pb2.Qos(qos_class="nightly"))
        await asyncio.sleep(0.1)
        again = await place(router, resume_token=first.resume_token)
    assert again.promise == first.promise
    assert again.resume_token == first.resume_token
    assert again.elapsed.ToNanoseconds() > 0.1e9


async def test_an_excluded_replica_is_passed_over_until_it_starts_anew(start_replica: StartReplica) -> None:
    one, other = await start_replica("one"), await start_replica("other")
    async with RouterUnderTest(one.address, other.address, placementWait="2s") as router:
        assert (await place(router, excluded_replicas=["one"])).replica == "other"
        waiting = asyncio.create_task(place(router, request_id="r2", excluded_replicas=["one", "other"]))
        await asyncio.sleep(0.1)
        one.load = replace(one.load, incarnation=2)
        assert (await waiting).replica == "one"
        assert (await failure(router, excluded_replicas=["one", "other"])).reason == "NO_REPLICA"


def loaded(replica: ScriptedReplica, num_tokens: int) -> None:
    """Let a replica report so many tokens of prefill that it has to do first."""
    waiting = ClassLoad(num_queued=1, queued_prefill_tokens=num_tokens)
    replica.load = replace(replica.load, sequence=replica.load.sequence + 10, classes={"chat": waiting})


async def test_a_class_that_refuses_under_overload_is_refused_here_too(start_replica: StartReplica) -> None:
    replica = await start_replica("only")
    loaded(replica, 1_000_000)
    classes = [{"name": "strict", "interactive": {"ttft": "1s", "tbt": "50ms"}, "onOverload": "reject"}]
    async with RouterUnderTest(replica.address, qosClasses=classes) as router:
        refused = await failure(router)
        (strict,) = (await router.status()).classes
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert refused.retry_after is not None
    assert (strict.num_rejected, strict.num_requests, strict.num_placed) == (1, 0, 0)


async def test_a_relegated_request_gets_a_place_only_where_it_is_on_time(start_replica: StartReplica) -> None:
    one, other = await start_replica("one"), await start_replica("other")
    async with RouterUnderTest(one.address, other.address) as router:
        first = await place(router, excluded_replicas=["other"])
        again: dict[str, Any] = {"resume_token": first.resume_token, "excluded_replicas": ["one"], "only_on_time": True}
        assert (await place(router, **again)).replica == "other"
        loaded(other, 1_000_000)
        await until(lambda: other.num_asked > 3)

        async def is_nowhere() -> bool:
            return (await place(router, **again)).replica == ""

        await until(is_nowhere)


async def test_a_placed_request_counts_as_placed_and_as_nothing_else(start_replica: StartReplica) -> None:
    replica = await start_replica("only")
    async with RouterUnderTest(replica.address) as router:
        first = await place(router)
        await place(router, resume_token=first.resume_token)
        status = await router.status()
        chat = status.classes[0]
        registry = router.router._metrics.registry
        counted = [
            registry.get_sample_value("niyama_requests_placed_total", {"qos_class": "chat", "again": again})
            for again in ("false", "true")
        ]
    assert (chat.num_placed, chat.num_requests, chat.num_completed, chat.num_failed) == (1, 0, 0, 0)
    assert counted == [1.0, 1.0]
    assert [each.num_open for each in status.replicas] == [0]


async def test_a_client_that_never_comes_leaves_no_load_behind(start_replica: StartReplica) -> None:
    replica = await start_replica("only")
    async with RouterUnderTest(replica.address, leaseValidFor="300ms") as router:
        await place(router, num_prompt_tokens=1000)
        (known,) = router.router._directory.replicas()
        assert known.pending_tokens == 1000, "the next placement takes it into account"
        await until(lambda: known.pending_tokens == 0, within=1.0)


async def test_reports_that_count_the_request_end_its_booking(start_replica: StartReplica) -> None:
    replica = await start_replica("only")
    async with RouterUnderTest(replica.address, leaseValidFor="60s") as router:
        await place(router, num_prompt_tokens=1000)
        (known,) = router.router._directory.replicas()
        loaded(replica, 1000)
        await until(lambda: known.pending_tokens == 0)
