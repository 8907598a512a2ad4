"""The client over TLS, one-sided and mutual."""

import shutil
import subprocess
from pathlib import Path

import pytest
from niyama_client import Client, ClientTls, Retries, UnavailableError
from niyama_runtime.tls import ServerTls, server_credentials

from tests.client.scripted_router import ScriptedRouter, answer, serve

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"]
    command = ["openssl", "req", "-x509", *key, "-days", "2", *names, "-out", "certificate.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "certificate.pem", folder / "key.pem"


async def test_a_server_is_trusted_that_the_roots_vouch_for(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    credentials = server_credentials(ServerTls(certificate, key))
    async with serve(ScriptedRouter(answer("a")), credentials=credentials) as address:
        async with Client(address, tls=ClientTls(ca=certificate)) as client:
            assert await client.generate("Hi").text() == "a"
        async with Client(address, tls=ClientTls(), retries=Retries(unavailable=0)) as stranger:
            with pytest.raises(UnavailableError):
                await stranger.generate("Hi").text()


async def test_a_server_may_demand_a_certificate(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    credentials = server_credentials(ServerTls(certificate, key, client_ca=certificate))
    shown = ClientTls(ca=certificate, certificate=certificate, key=key)
    async with serve(ScriptedRouter(answer("a")), credentials=credentials) as address:
        async with Client(address, tls=shown) as client:
            assert await client.generate("Hi").text() == "a"
        async with Client(address, tls=ClientTls(ca=certificate), retries=Retries(unavailable=0)) as stranger:
            with pytest.raises(UnavailableError):
                await stranger.generate("Hi").text()
