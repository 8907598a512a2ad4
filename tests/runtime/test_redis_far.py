"""A Redis that is far away, behind TLS, or that many names have passed through."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import redis.asyncio
from niyama_core.load import ReplicaLoad
from niyama_runtime.embedded_redis import EmbeddedRedis
from niyama_runtime.load_board import LoadBoard, RedisSettings, RedisUnavailableError

from tests.runtime.redis_servers import proxy

CLUSTER = "default/llama"
FAR_SECONDS = 0.1


def a_load(replica: str = "a", sequence: int = 1) -> ReplicaLoad:
    return ReplicaLoad(replica, f"{replica}:50051", sequence, 7)


async def test_a_redis_that_is_a_tenth_of_a_second_away_each_way_is_used_all_the_same(
    redis_server: EmbeddedRedis,
) -> None:
    async with proxy(redis_server.port, delay=FAR_SECONDS) as port:
        board = LoadBoard(RedisSettings(f"redis://127.0.0.1:{port}"), CLUSTER)
        reporter, reader, seen = board.reporter("a"), board.reader(), 0
        for sequence in range(1, 6):
            with contextlib.suppress(RedisUnavailableError):
                await reporter.publish(a_load(sequence=sequence))
                seen = (await reader.read()).members["a"].load.sequence  # type: ignore[union-attr]
        await board.close()
    # Not each one need come through while the machine is busy.
    assert seen


async def test_a_redis_too_far_away_for_the_bound_costs_the_bound_and_no_more(redis_server: EmbeddedRedis) -> None:
    async with proxy(redis_server.port, delay=5.0) as port:
        board = LoadBoard(RedisSettings(f"redis://127.0.0.1:{port}", timeout=0.1), CLUSTER)
        async with asyncio.timeout(3):
            with pytest.raises(RedisUnavailableError, match=r"no answer within 0\.1 s|Timeout"):
                await board.reader().read()
        await board.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
async def test_by_tls_the_server_must_be_the_right_one(
    redis_server: EmbeddedRedis, raw_redis: redis.asyncio.Redis, tmp_path: Path
) -> None:
    """With an ACL user and the password from a file, as a managed Redis asks for."""
    names = ("-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("redis", "other"):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
        command = ("openssl", "req", "-x509", *key, "-days", "2", *names, *files)
        await asyncio.to_thread(subprocess.run, command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "password").write_text("secret")
    await raw_redis.acl_setuser("niyama", enabled=True, passwords=["+secret"], commands=["+@all"], keys=["niyama:*"])
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(tmp_path / "redis.crt", tmp_path / "redis.key")
    async with proxy(redis_server.port, tls=served) as port:
        for authority, is_right in (("redis", True), ("other", False)):
            url = f"rediss://niyama@127.0.0.1:{port}?ssl_ca_certs={tmp_path}/{authority}.crt"
            board = LoadBoard(RedisSettings(url, tmp_path / "password", timeout=5.0), CLUSTER)
            if is_right:
                assert (await board.reader().read()).members == {}
            else:
                with pytest.raises(RedisUnavailableError, match="certificate verify failed"):
                    await board.reader().read()
            await board.close()


async def test_names_that_came_and_went_take_no_room(
    redis_server: EmbeddedRedis, raw_redis: redis.asyncio.Redis
) -> None:
    """Pods have new names with each rollout; of those that never said goodbye nothing is left."""
    board = LoadBoard(RedisSettings(redis_server.url, timeout=5.0), CLUSTER, forget_after=1)
    await raw_redis.eval(
        "for i = 1, 2500 do redis.call('HSET', KEYS[1], i, string.rep('x', 200)) redis.call('ZADD', KEYS[2], 1, i) end",
        2,
        f"niyama:{{{CLUSTER}}}:loads",
        f"niyama:{{{CLUSTER}}}:members",
    )
    await board.reporter("a").publish(a_load())
    reader = board.reader()
    await reader.read()
    await reader.read()
    assert set((await reader.read()).members) == {"a"}
    assert await raw_redis.hlen(f"niyama:{{{CLUSTER}}}:loads") == 1
    await board.close()
