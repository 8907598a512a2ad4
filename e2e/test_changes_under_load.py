"""Scenario 2: whatever is changed in good order under load costs no request and no pod that need not restart."""

import asyncio
import time

from niyama_client import Client

from e2e.declared_clusters import CLASSES, NiyamaCluster
from e2e.figures import Figures
from e2e.installation import Installation
from e2e.kubectl import Kubectl
from e2e.traffic import Traffic, traffic
from e2e.waiting import eventually


async def classes_of(address: str) -> set[str]:
    """Return the classes that the routers know, as one of them tells."""
    async with Client(address) as client:
        return {row.qos_class for row in (await client.status()).classes}


def assert_nothing_lost(account: Traffic) -> None:
    assert account.answers, "no request was answered: the traffic was none"
    assert (account.errors[:5], account.num_lost) == ([], 0), account.summary()


def test_scaling_loses_nothing(niyama: Installation, namespace: Kubectl, figures: Figures) -> None:
    cluster = NiyamaCluster(namespace).declare()
    cluster.wait_settled()
    with traffic(cluster.address()) as account:
        for replicas in (4, 1):
            cluster.scale(replicas)
            cluster.wait_settled()
            assert len(cluster.pod_names("replica")) == replicas
    figures.add("2 scale 2 -> 4 -> 1", account.summary())
    assert_nothing_lost(account)
    cluster.scale(2)
    cluster.wait_settled()


def test_a_rolling_change_loses_nothing(niyama: Installation, namespace: Kubectl, figures: Figures) -> None:
    cluster = NiyamaCluster(namespace).declare()
    cluster.wait_settled()
    before = cluster.starts("replica")
    with traffic(cluster.address()) as account:
        cluster.declare(engine={"type": "paced", "noise": 0.05})
        eventually(lambda: not cluster.starts("replica").keys() & before.keys(), within=120)
        cluster.wait_settled()
        cluster.declare(engine={"type": "paced", "noise": 0.05}, rollout={"drainGrace": "20s", "strategy": "replace"})
        cluster.declare(engine={"type": "paced"}, rollout={"drainGrace": "20s", "strategy": "replace"})
        cluster.wait_settled()
    figures.add("2 rolling change, new first and old first", account.summary())
    assert_nothing_lost(account)


def test_changed_classes_need_no_restart(niyama: Installation, namespace: Kubectl, figures: Figures) -> None:
    cluster = NiyamaCluster(namespace).declare(rollout={"drainGrace": "20s"})
    cluster.wait_settled()
    before = cluster.starts("replica", "router")
    with traffic(cluster.address()) as account:
        began = time.monotonic()
        more = [*CLASSES, {"name": "extra", "batch": {"ttlt": "1h"}}]
        cluster.declare(qosClasses=more, scheduler={"policy": "qoserve"}, rollout={"drainGrace": "20s"})
        eventually(lambda: "extra" in asyncio.run(classes_of(cluster.address())), within=90)
        seconds = time.monotonic() - began
    figures.add("2 changed classes are known to routers after", f"{seconds:.1f} s; {account.summary()}")
    assert_nothing_lost(account)
    assert cluster.starts("replica", "router") == before


def test_the_operators_end_and_upgrade_touch_no_cluster(
    niyama: Installation, namespace: Kubectl, figures: Figures
) -> None:
    cluster = NiyamaCluster(namespace).declare()
    cluster.wait_settled()
    before = cluster.starts("replica", "router", "redis")
    with traffic(cluster.address()) as account:
        former, began = niyama.operator_pod(), time.monotonic()
        niyama.kubectl("delete", "pod", former)
        gone = time.monotonic() - began
        eventually(lambda: niyama.operator_pod() != former, within=60)
        niyama.upgrade(podAnnotations={"niyama.dev/upgraded": str(time.time())})
        cluster.scale(3)
        cluster.wait_settled()
    figures.add("2 operator restarted and upgraded", f"gone after {gone:.1f} s; {account.summary()}")
    assert_nothing_lost(account)
    # It ends by itself, and not because its grace period is over.
    assert gone < 15
    after = cluster.starts("replica", "router", "redis")
    assert before.items() <= after.items()
