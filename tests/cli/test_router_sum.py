"""Several routers of one cluster are told as one."""

from dataclasses import replace

import pytest
from niyama_cli.option_types import router_target
from niyama_cli.router_sum import cluster_status, together
from niyama_client import ClassAttainment, ClusterStatus, LoadBoardState, ReplicaStatus, UnavailableError
from niyama_core.load import ReplicaLoad
from niyama_runtime.status import unavailable

from tests.client.scripted_router import ScriptedRouter, answer, serve

ROW = ClassAttainment(
    qos_class="chat",
    num_requests=10,
    num_completed=8,
    num_on_time=6,
    num_rejected=1,
    num_failed=1,
    num_cancelled=1,
    num_relegated=2,
    num_moved=0,
    num_deadline_tokens=100,
    num_late_tokens=1,
)


def a_status(*replicas: ReplicaStatus, router: str = "router-0") -> ClusterStatus:
    connected = LoadBoardState.CONNECTED
    return ClusterStatus("default/llama", router, "niyama", "niyama", connected, (ROW,), replicas)


def a_replica(load: ReplicaLoad, age: float | None, num_open: int) -> ReplicaStatus:
    return ReplicaStatus(load, age, True, num_open)


def test_counts_add_up() -> None:
    other = replace(a_status(router="router-1"), classes=(ROW, replace(ROW, qos_class="nightly")))
    status = together([a_status(), other])
    assert status.router == "router-0, router-1"
    chat, nightly = status.classes
    assert (chat.num_requests, chat.num_on_time, chat.attainment) == (20, 12, 0.6)
    assert nightly.num_requests == 10


def test_a_replica_is_told_as_the_router_says_that_heard_of_it_last() -> None:
    fresh, stale = (ReplicaLoad("replica-0", "localhost:1", sequence=number) for number in (7, 3))
    status = together(
        [a_status(a_replica(stale, None, 1)), a_status(a_replica(stale, 9.0, 2), a_replica(fresh, 0.1, 3))]
    )
    (replica,) = status.replicas
    assert (replica.load.sequence, replica.num_open) == (7, 6)


def test_one_router_without_redis_is_said() -> None:
    status = together([a_status(), replace(a_status(), load_board=LoadBoardState.DISCONNECTED)])
    assert status.load_board is LoadBoardState.DISCONNECTED


async def test_routers_that_are_away_are_passed_over_until_none_is_left() -> None:
    router = ScriptedRouter(answer("a"))
    router.status_failures = [unavailable("not yet", reason="NO_REPLICA")]
    async with serve(router) as address:
        assert (await cluster_status(router_target(f"{address},127.0.0.1:1"))).router == "router-0"
    with pytest.raises(UnavailableError):
        await cluster_status(router_target("127.0.0.1:1,127.0.0.1:2"))
