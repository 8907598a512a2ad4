"""Scenario 4: the API server goes away under load: clients see nothing of it, the operator catches up, no storm."""

import os
import time
from datetime import UTC, datetime

from e2e import audit
from e2e.declared_clusters import NiyamaCluster
from e2e.figures import Figures
from e2e.installation import SYSTEM, Installation
from e2e.kubectl import Kubectl
from e2e.node import Node
from e2e.traffic import traffic
from e2e.waiting import eventually

AWAY_SECONDS = float(os.environ.get("NIYAMA_E2E_AWAY_SECONDS", "20"))
CATCH_UP_SECONDS = 30.0
# What one cluster may cost in that time: a list of each kind a reconciliation, and the watches that begin anew.
MOST_REQUESTS = 400


def test_the_operator_catches_up_and_clients_see_nothing(
    niyama: Installation, namespace: Kubectl, node: Node, figures: Figures
) -> None:
    cluster = NiyamaCluster(namespace).declare()
    cluster.wait_settled()
    with traffic(cluster.address()) as account:
        with node.api_server_down():
            time.sleep(AWAY_SECONDS)
        back = datetime.now(UTC)
        began = time.monotonic()
        cluster.scale(3)
        eventually(lambda: namespace.get("deployment", "llama-replica")["spec"]["replicas"] == 3, within=60)
        caught_up = time.monotonic() - began
        # The node's own controllers take longer to come back.
        cluster.wait_settled(within=180)
        time.sleep(max(0.0, CATCH_UP_SECONDS - caught_up))
    user = f"system:serviceaccount:{SYSTEM}:niyama"
    asked = list(audit.requests(node.logs / "audit.log", user=user, since=back))
    figures.add(
        f"4 API server away for {AWAY_SECONDS:.0f} s",
        f"scaled {caught_up:.1f} s after its return, {len(asked)} requests in {CATCH_UP_SECONDS:.0f} s; "
        f"{account.summary()}",
    )
    assert (account.errors[:5], account.num_lost) == ([], 0), account.summary()
    assert niyama.operator_restarts() == 0
    assert asked
    assert len(asked) < MOST_REQUESTS
