"""TLS from files, one-sided and mutual, and renewed under a running server."""

import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from niyama_runtime.grpc_channel import open_channel
from niyama_runtime.grpc_server import GrpcServer, ServerSettings
from niyama_runtime.tls import ClientTls, ServerTls, TlsError, channel_credentials, server_credentials

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")

_EC_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: str, folder: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def _authority(folder: Path, name: str) -> Path:
    _openssl(
        "req", "-x509", *_EC_KEY, "-days", "2", "-subj", f"/CN={name}",
        "-keyout", f"{name}.key", "-out", f"{name}.crt", folder=folder,
    )  # fmt: skip
    return folder / f"{name}.crt"


def _certificate(folder: Path, name: str, authority: str) -> tuple[Path, Path]:
    (folder / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    _openssl("req", *_EC_KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr", folder=folder)
    _openssl(
        "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.crt", "-CAkey", f"{authority}.key",
        "-CAcreateserial", "-days", "2", "-extfile", "san", "-out", f"{name}.crt", folder=folder,
    )  # fmt: skip
    return folder / f"{name}.crt", folder / f"{name}.key"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of two authorities."""
    made = tmp_path_factory.mktemp("tls")
    for authority in ("ca", "other-ca"):
        _authority(made, authority)
    for name, authority in (("server", "ca"), ("client", "ca"), ("renewed", "other-ca"), ("stranger", "other-ca")):
        _certificate(made, name, authority)
    return made


@contextlib.asynccontextmanager
async def _serving(tls: ServerTls) -> AsyncIterator[str]:
    server = GrpcServer(ServerSettings(tls=tls), [])
    await server.start()
    yield server.address
    await server.stop(0)


async def _is_answered(address: str, tls: ClientTls | None) -> bool:
    async with open_channel(address, tls=tls) as channel:
        try:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True


async def test_a_client_that_trusts_the_authority_is_answered_and_no_other(folder: Path) -> None:
    async with _serving(ServerTls(folder / "server.crt", folder / "server.key")) as address:
        assert await _is_answered(address, ClientTls(ca=folder / "ca.crt"))
        assert not await _is_answered(address, ClientTls(ca=folder / "other-ca.crt"))
        assert not await _is_answered(address, None)


async def test_a_server_that_demands_certificates_answers_only_those_who_have_one(folder: Path) -> None:
    tls = ServerTls(folder / "server.crt", folder / "server.key", client_ca=folder / "ca.crt")
    async with _serving(tls) as address:
        ca = folder / "ca.crt"
        assert await _is_answered(address, ClientTls(ca, folder / "client.crt", folder / "client.key"))
        assert not await _is_answered(address, ClientTls(ca, folder / "stranger.crt", folder / "stranger.key"))
        assert not await _is_answered(address, ClientTls(ca))


async def test_renewed_files_are_used_without_a_restart(folder: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    shutil.copy(folder / "server.crt", certificate)
    shutil.copy(folder / "server.key", key)
    async with _serving(ServerTls(certificate, key)) as address:
        assert await _is_answered(address, ClientTls(ca=folder / "ca.crt"))
        shutil.copy(folder / "renewed.crt", certificate)  # half of the pair: the last whole one stays in use
        assert await _is_answered(address, ClientTls(ca=folder / "ca.crt"))
        shutil.copy(folder / "renewed.key", key)
        assert await _is_answered(address, ClientTls(ca=folder / "other-ca.crt"))
        assert not await _is_answered(address, ClientTls(ca=folder / "ca.crt"))


def test_a_file_that_is_missing_or_no_pem_is_named(folder: Path, tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    good, key = folder / "server.crt", folder / "server.key"
    with pytest.raises(TlsError, match=r"cannot read .*missing\.crt: No such file"):
        server_credentials(ServerTls(tmp_path / "missing.crt", key))
    with pytest.raises(TlsError, match=r"rubbish\.pem"):
        server_credentials(ServerTls(good, rubbish))
    with pytest.raises(TlsError, match=r"rubbish\.pem"):
        channel_credentials(ClientTls(ca=rubbish))


def test_key_and_certificate_must_belong_together(folder: Path) -> None:
    with pytest.raises(TlsError, match=r"server\.crt and .*client\.key"):
        server_credentials(ServerTls(folder / "server.crt", folder / "client.key"))
    with pytest.raises(TlsError, match="needs its key"):
        channel_credentials(ClientTls(certificate=folder / "client.crt"))
