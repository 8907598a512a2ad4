"""Which goes first when replicas are replaced, and which when there are to be fewer."""

from typing import Any

import pytest
from niyama_operator.manifests.blueprint import Manifest
from niyama_operator.pods import TroubleKind
from niyama_operator.rollout import REPLACE, SURGE, deletion_costs, replica_strategy

from tests.operator.builders import a_blueprint, a_deployment, a_pod, a_view, an_observation, trouble

WAITS = trouble(TroubleKind.GPUS, "Insufficient nvidia.com/gpu")
ROLLING = {"replicas": 2, "updatedReplicas": 1}


def a_rolling_deployment(strategy: Any = SURGE) -> Manifest:  # noqa: ANN401
    return a_deployment(status=ROLLING, spec={"strategy": strategy})


def new_pod(**fields: Any) -> Any:  # noqa: ANN401
    return a_pod("new", ready=False, template_hash="new", **fields)


def test_with_room_the_new_replica_comes_first() -> None:
    observation = an_observation(a_pod(), new_pod(), objects=[a_rolling_deployment()])
    assert replica_strategy(a_blueprint(), observation) == SURGE


def test_without_room_the_old_replica_goes_first() -> None:
    observation = an_observation(a_pod(), new_pod(trouble=WAITS), objects=[a_rolling_deployment()])
    assert replica_strategy(a_blueprint(), observation) == REPLACE


def test_a_rollout_without_room_stays_so_until_it_is_done() -> None:
    under_way = an_observation(a_pod(), new_pod(), objects=[a_rolling_deployment(REPLACE)])
    assert replica_strategy(a_blueprint(), under_way) == REPLACE
    done = an_observation(a_pod(), objects=[a_deployment(spec={"strategy": REPLACE})])
    assert replica_strategy(a_blueprint(), done) == SURGE


def test_a_scale_up_that_finds_no_room_is_no_rollout() -> None:
    waiting = a_pod("more", ready=False, trouble=WAITS)
    live = a_deployment(status={"replicas": 2, "updatedReplicas": 2}, spec={"strategy": SURGE})
    assert replica_strategy(a_blueprint(replicas=2), an_observation(a_pod(), waiting, objects=[live])) == SURGE


@pytest.mark.parametrize(("name", "strategy"), [("surge", SURGE), ("replace", REPLACE)])
def test_what_the_manifest_says_is_done(name: str, strategy: Manifest) -> None:
    observation = an_observation(a_pod(), new_pod(trouble=WAITS), objects=[a_rolling_deployment()])
    assert replica_strategy(a_blueprint(rollout={"strategy": name}), observation) == strategy


def test_the_least_loaded_goes_first_and_who_serves_nobody_before_it() -> None:
    pods = [a_pod("busy"), a_pod("idle"), a_pod("starting", ready=False), a_pod("same", deletion_cost="7")]
    view = a_view(num_live={"busy": 12, "idle": 0, "same": 7})
    assert deletion_costs(an_observation(*pods, view=view)) == {"busy": "12", "idle": "0", "starting": "-1"}
