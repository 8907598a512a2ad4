"""The client itself: what it exports and imports, addresses, TLS, and what clusters say of themselves."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import json_format
from niyama.v1 import inference_pb2
from niyama_client import Client, ClientTls, LoadBoardState, Retries, ServerError, TlsError, UnavailableError
from niyama_client.connection import target_name

from tests.client.scripted_router import ScriptedRouter, answer, serve

HEAVY = ("matplotlib", "numpy", "prometheus_client", "redis", "rich", "structlog", "typer", "yaml")


def test_everything_in_all_is_there_and_documented() -> None:
    package = importlib.import_module("niyama_client")
    for name in package.__all__:
        assert getattr(package, name).__doc__, name
    assert package.__all__ == sorted(package.__all__)


def test_the_client_imports_nothing_heavy() -> None:
    code = f"import sys, niyama_client; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("localhost", "localhost:50051"),
        ("router:1234", "router:1234"),
        ("[::1]:50051", "[::1]:50051"),
        ("dns:///routers:50051", "dns:///routers:50051"),
        ("unix:/run/niyama.sock", "unix:/run/niyama.sock"),
        ("10.0.0.1:1, 10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
    ],
)
def test_an_address_is_a_host_several_of_them_or_a_name_of_grpc(address: str, name: str) -> None:
    assert target_name(address) == name


@pytest.mark.parametrize("address", ["", "router:port", "router:99999", "a:b:c", "1.2.3.4:1,"])
def test_a_wrong_address_says_how_to_write_one(address: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|65535"):
        Client(address)


async def test_requests_go_round_the_routers_and_past_one_that_is_gone() -> None:
    first, second = ScriptedRouter(answer("a")), ScriptedRouter(answer("b"))
    async with (
        serve(first) as one,
        serve(second) as two,
        Client(f"{one},{two},127.0.0.1:1", retries=Retries(first_delay=0.01)) as client,
    ):
        answers = [await client.generate("Hi").text() for _ in range(20)]
    assert set(answers) == {"a", "b"}


async def test_a_router_that_comes_back_is_found_again() -> None:
    async with serve(ScriptedRouter(answer("a"))) as address:
        client = Client(address, retries=Retries(unavailable=8, first_delay=0.05, longest_delay=0.5))
        assert await client.generate("Hi").text() == "a"
    async with serve(ScriptedRouter(answer("b")), port=int(address.rpartition(":")[2])):
        assert await client.generate("Hi").text() == "b"
    await client.close()


async def test_tls_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    client = Client("localhost:1", tls=ClientTls(ca=tmp_path / "ca.pem"))
    with pytest.raises(TlsError, match=r"ca\.pem"):
        client.generate("Hi")


async def test_a_server_without_tls_is_unavailable_to_a_client_with_it() -> None:
    async with (
        serve(ScriptedRouter(answer("a"))) as address,
        Client(address, tls=ClientTls(), retries=Retries(unavailable=0)) as client,
    ):
        with pytest.raises(UnavailableError):
            await client.status()


async def test_a_status_is_plain_values() -> None:
    router = ScriptedRouter(answer("a"))
    json_format.ParseDict(
        {
            "cluster": "default/llama",
            "load_board": "LOAD_BOARD_STATE_DISCONNECTED",
            "classes": [
                {"qos_class": "chat", "num_requests": 10, "num_completed": 6, "num_on_time": 5, "num_failed": 2}
            ],
            "replicas": [
                {
                    "load": {"replica": "r0", "classes": [{"qos_class": "chat", "num_decoding": 3}]},
                    "load_age": "0.250s",
                    "placeable": True,
                    "num_open": 4,
                },
                {"load": {"replica": "r1"}},
            ],
        },
        router.status,
    )
    async with serve(router) as address, Client(address) as client:
        status = await client.status()
    (chat,) = status.classes
    assert (chat.num_running, chat.attainment) == (2, 5 / 8)
    one, other = status.replicas
    assert (one.load.classes["chat"].num_decoding, one.load_age, one.placeable) == (3, 0.25, True)
    assert (other.load_age, other.placeable) == (None, False)
    assert status.load_board is LoadBoardState.DISCONNECTED


async def test_a_class_that_nobody_asked_for_has_no_attainment() -> None:
    router = ScriptedRouter(answer("a"))
    router.status.classes.add(qos_class="chat")
    async with serve(router) as address, Client(address) as client:
        assert (await client.status()).classes[0].attainment is None


async def test_a_status_that_cannot_be_read_is_an_error_of_the_server() -> None:
    router = ScriptedRouter(answer("a"))
    router.status.replicas.append(inference_pb2.ReplicaStatus())
    async with serve(router) as address, Client(address) as client:
        with pytest.raises(ServerError, match="replica"):
            await client.status()


async def test_a_client_may_be_used_again_after_it_was_closed() -> None:
    async with serve(ScriptedRouter(answer("a"))) as address:
        client = Client(address)
        assert (await client.describe()).model == "llama"
        await client.close()
        assert (await client.describe()).bytes_per_token == 4.0
        await client.close()
