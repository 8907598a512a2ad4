"""What routers know when they place: old loads, and what they have placed themselves."""

from collections import Counter
from dataclasses import replace

import pytest
from niyama_core.placement import PLACEMENTS
from niyama_eval.outcomes import OutcomeState
from niyama_sim.cluster import simulate
from niyama_sim.door import router_of
from niyama_sim.load_board import LoadBoard
from niyama_sim.replica import SimulatedReplica
from niyama_sim.router import SimulatedRouter
from niyama_sim.settings import SettingsError, SimulationSettings

from tests.simulator.clusters import a_cluster, asked, mixed


def a_board(load_age: float, *, num_replicas: int = 2) -> tuple[LoadBoard, list[SimulatedReplica], SimulationSettings]:
    settings = replace(a_cluster(placement="least-loaded", num_replicas=num_replicas), load_age=load_age)
    replicas = [SimulatedReplica(index, settings) for index in range(num_replicas)]
    return LoadBoard(replicas, load_age), replicas, settings


def ages_seen(load_age: float, instants: list[float]) -> list[float]:
    """Return how old the loads are that a router sees when requests come at these instants."""
    board, replicas, settings = a_board(load_age)
    router = SimulatedRouter(settings, replicas, board=board)
    ages = []
    for instant in instants:
        for beat in board.due_before(instant):
            board.report(beat)
        ages.append(router.candidates(instant)[0].age)
    return ages


@pytest.mark.parametrize("load_age", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("gap", [0.01, 0.13, 3.7])
def test_loads_are_between_half_an_age_and_a_whole_age_old(load_age: float, gap: float) -> None:
    for age in ages_seen(load_age, [2.0 + gap * step for step in range(100)]):
        assert load_age / 2 - 1e-9 <= age <= load_age + 1e-9


def test_an_all_knowing_router_sees_loads_as_they_are() -> None:
    assert ages_seen(0.0, [1.0, 1.5, 7.0]) == [0.0, 0.0, 0.0]


def test_a_router_counts_what_it_has_placed_until_a_report_has_seen_it() -> None:
    board, replicas, settings = a_board(1.0)
    mine, other = (SimulatedRouter(settings, replicas, board=board) for _ in range(2))

    def pending(router: SimulatedRouter, now: float) -> list[tuple[int, int]]:
        for beat in board.due_before(now):
            board.report(beat)
        return [(one.num_pending, one.pending_prefill_tokens) for one in router.candidates(now)]

    assert pending(mine, 1.1) == [(0, 0), (0, 0)]
    mine.expect("replica-1", 700, now=1.2)
    assert pending(mine, 1.3) == [(0, 0), (1, 700)]
    mine.expect("replica-1", 300, now=1.6)
    # The report of 1.5 s has seen the first, and is seen itself from 2 s on.
    assert pending(mine, 1.9) == [(0, 0), (2, 1000)]
    assert pending(other, 1.9) == [(0, 0), (0, 0)]
    assert pending(mine, 2.1) == [(0, 0), (1, 300)]
    assert pending(mine, 2.6) == [(0, 0), (0, 0)]


def test_requests_come_to_every_router_alike_and_to_the_same_with_the_same_seed() -> None:
    settings = replace(a_cluster(), num_routers=4)
    came = Counter(router_of(f"r{index}", settings) for index in range(4000))
    assert set(came) == set(range(4))
    assert max(came.values()) < 1.1 * min(came.values())
    assert [router_of(f"r{i}", settings) for i in range(50)] != [
        router_of(f"r{i}", replace(settings, seed=1)) for i in range(50)
    ]


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize(("num_routers", "load_age"), [(1, 0.0), (4, 0.1), (16, 1.0)])
def test_however_little_routers_know_nothing_is_lost(placement: str, num_routers: int, load_age: float) -> None:
    settings = replace(a_cluster(placement=placement, num_replicas=6), num_routers=num_routers, load_age=load_age)
    traffic = mixed(200, qps=24.0)
    first, again = (simulate(settings, traffic) for _ in range(2))
    assert first == again
    for one, outcome in zip(traffic, first.outcomes, strict=True):
        assert outcome.state is OutcomeState.COMPLETED
        assert len(outcome.emitted) == one.num_output_tokens


def test_routers_that_do_not_know_of_each_other_run_to_the_same_replica() -> None:
    # One request to each of eight routers at once: nobody has a report of what the others did.
    burst = [asked(f"r{index}", 5.0 + index * 1e-4) for index in range(40)]
    cluster = a_cluster(placement="least-loaded", num_replicas=40)
    knowing, blind = (
        Counter(one.replica for one in simulate(settings, burst).outcomes)
        for settings in (replace(cluster, load_age=0.0), replace(cluster, num_routers=8, load_age=1.0))
    )
    assert max(knowing.values()) == 1
    assert max(blind.values()) > 3


@pytest.mark.parametrize(
    ("wrong", "problem"), [({"num_routers": 0}, "0 place nothing"), ({"load_age": -1.0}, "no age")]
)
def test_routers_that_cannot_be_are_refused_in_words(wrong: dict[str, float], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        replace(a_cluster(), **wrong)  # type: ignore[arg-type]
