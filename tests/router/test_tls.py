"""A router whose clients and replicas are spoken to by TLS, mutual on the side of the replicas."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from niyama_runtime.tls import ClientTls, ServerTls

from tests.router.harness import Client, RouterUnderTest
from tests.router.scripted_replica import ScriptedReplica

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A certificate that stands for its own authority, and its key."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", "tls.key", "-out", "tls.crt"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    return {"certificate": str(tmp_path / "tls.crt"), "key": str(tmp_path / "tls.key")}


@pytest.fixture
async def replica(files: dict[str, str]) -> AsyncIterator[ScriptedReplica]:
    """A replica that takes only those who show the certificate."""
    certificate = Path(files["certificate"])
    tls = ServerTls(certificate, Path(files["key"]), client_ca=certificate)
    made = ScriptedReplica("only", tls=tls)
    await made.start()
    yield made
    await made.stop()


async def test_tokens_stream_by_tls_from_end_to_end(files: dict[str, str], replica: ScriptedReplica) -> None:
    replica_tls = {"ca": files["certificate"], **files}
    async with RouterUnderTest(replica.address, tls=files, replicaTls=replica_tls) as router:
        client = Client(router.endpoints.grpc, tls=ClientTls(ca=Path(files["certificate"])))
        assert (await client.generate()).completion.replica == "only"
        await client.close()


async def test_a_replica_that_demands_a_certificate_is_not_found_without_one(
    files: dict[str, str], replica: ScriptedReplica
) -> None:
    async with RouterUnderTest(replica.address, replicaTls={"ca": files["certificate"]}) as router:
        answer = await router.generate()
    assert answer.failure is not None
    assert answer.failure.reason == "NO_REPLICA"
