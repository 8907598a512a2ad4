"""Mode auto: from the replica itself where that goes, else through a router; the application need not know."""

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from niyama.v1 import inference_pb2
from niyama_client import Client, Mode, Retries, UnavailableError
from niyama_client.replica_channels import Reachability
from niyama_core.load import ClassLoad
from niyama_runtime.status import Failure, abort
from niyama_runtime.tls import ClientTls, ServerTls

from tests.client.scripted_router import ScriptedRouter, answer, serve
from tests.router.harness import RouterUnderTest
from tests.router.scripted_replica import ScriptedReplica, answering, going_on, saying, tokens


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that stands for its own authority, and its key."""

    certificate: Path
    key: Path

    @property
    def server(self) -> ServerTls:
        return ServerTls(self.certificate, self.key)


@pytest.fixture
def certificates(tmp_path: Path) -> list[Certificate]:
    """Two of them."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    made = [Certificate(tmp_path / f"{name}.crt", tmp_path / f"{name}.key") for name in ("near", "far")]
    for each in made:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", f"/CN={each.key.stem}", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", str(each.key), "-out", str(each.certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
    return made


async def test_a_replica_that_can_be_reached_streams_itself() -> None:
    replica = ScriptedReplica("only", [answering(3)])
    await replica.start()
    async with RouterUnderTest(replica.address) as router, Client(router.endpoints.grpc, mode=Mode.AUTO) as client:
        assert len([token async for token in client.generate("Hello")]) == 3
        chat = (await client.status()).classes[0]
    await replica.stop()
    assert (chat.num_placed, chat.num_requests) == (1, 0)


async def test_where_replicas_cannot_be_reached_tokens_come_through_a_router(certificates: list[Certificate]) -> None:
    # It speaks only by TLS, as the router does with it, and clients do not.
    replica = ScriptedReplica("only", [answering(3)], tls=certificates[0].server)
    await replica.start()
    settings = {"replicaTls": {"ca": str(certificates[0].certificate)}}
    async with (
        RouterUnderTest(replica.address, **settings) as router,
        Client(router.endpoints.grpc, mode=Mode.AUTO) as client,
    ):
        for _ in range(2):
            generation = client.generate("Hello", request_id="r1")
            assert len([token async for token in generation]) == 3
            assert generation.completion.num_moves == 0
        chat = (await client.status()).classes[0]
        async with Client(router.endpoints.grpc, mode=Mode.DIRECT, retries=Retries(unavailable=1)) as strict:
            with pytest.raises(UnavailableError, match="in mode routed"):
                await strict.generate("Hello").text()
    await replica.stop()
    assert chat.num_completed == 2
    assert chat.num_placed == 1, "what the first request has learnt the second knows"
    assert [each.request.request_id for each in replica.seen] == ["r1", "r1"]


async def test_an_answer_that_has_begun_goes_on_through_a_router(
    certificates: list[Certificate], tmp_path: Path
) -> None:
    near, far = certificates
    (tmp_path / "both.crt").write_bytes(near.certificate.read_bytes() + far.certificate.read_bytes())
    breaking = saying(tokens(0, [0]), tokens(1, [1]))
    replicas = [
        ScriptedReplica("near", [breaking, going_on(4)], tls=near.server),
        # Whoever trusts the first certificate alone does not connect to it.
        ScriptedReplica("far", [going_on(4)], tls=far.server),
    ]
    waiting = ClassLoad(num_queued=1, queued_prefill_tokens=20_000)
    replicas[1].load = replace(replicas[1].load, classes={"chat": waiting})
    for replica in replicas:
        await replica.start()
    settings = {
        "replicaTls": {"ca": str(tmp_path / "both.crt")},
        "tls": {"certificate": str(near.certificate), "key": str(near.key)},
    }
    async with RouterUnderTest(*(replica.address for replica in replicas), **settings) as router:
        tls = ClientTls(ca=near.certificate)
        async with Client(router.endpoints.grpc, tls=tls, mode=Mode.AUTO) as client:
            generation = client.generate("Hello")
            got = [token async for token in generation]
            chat = (await client.status()).classes[0]
    for replica in replicas:
        await replica.stop()
    assert [token.id for token in got] == [token.position for token in got] == [0, 1, 2, 3]
    assert (chat.num_placed, chat.num_completed) == (1, 1)
    assert (generation.completion.num_moves, generation.completion.ttlt) == (1, 0.4)


async def test_a_router_of_before_place_serves_as_ever() -> None:
    class OldRouter(ScriptedRouter):
        async def Place(  # noqa: N802
            self, request: inference_pb2.PlaceRequest, context: "grpc.aio.ServicerContext[Any, Any]"
        ) -> inference_pb2.PlaceResponse:
            await abort(context, Failure(code=grpc.StatusCode.UNIMPLEMENTED, message="not built"))

    async with serve(OldRouter(answer("a", "b"))) as address, Client(address, mode=Mode.AUTO) as client:
        assert await client.generate("Hi").text() == "ab"


def test_a_miss_where_nobody_was_reached_is_remembered_for_a_while() -> None:
    instants = iter((0.0, 1.0, 31.0))
    known = Reachability(lambda: next(instants))
    known.note_missed()
    assert [known.is_likely for _ in range(2)] == [False, True]


def test_a_miss_where_others_were_reached_lately_is_that_replicas() -> None:
    known = Reachability(lambda: 0.0)
    known.note_reached()
    known.note_missed()
    assert known.is_likely
