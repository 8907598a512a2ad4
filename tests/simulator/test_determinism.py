"""The same seed gives the same run, and policies are compared under the same luck."""

from dataclasses import replace

import pytest
from niyama_core.placement import PLACEMENTS
from niyama_core.policies import POLICIES
from niyama_sim.cluster import SimulationResult, simulate
from niyama_sim.engine import Iteration
from niyama_sim.noise import lognormal_noise

from tests.builders import A100
from tests.simulator.clusters import Watch, a_cluster, mixed

TRAFFIC = mixed(80, qps=8.0)


def noise_of(iterations: list[Iteration]) -> list[float]:
    """Return the factor on the time of each iteration."""
    return [iteration.seconds / A100.law.iteration_time(iteration.plan.shape) for iteration in iterations]


def run(policy: str = "niyama", *, placement: str = "niyama", seed: int = 0) -> tuple[SimulationResult, Watch]:
    watch = Watch()
    settings = a_cluster(policy, placement=placement, num_replicas=2, noise=0.05, seed=seed)
    return simulate(settings, TRAFFIC, on_plan=watch), watch


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_run_can_be_repeated_exactly(policy: str, placement: str) -> None:
    assert run(policy, placement=placement) == run(policy, placement=placement)


def test_another_seed_is_another_run_of_the_same_requests() -> None:
    (one, _), (other, _) = run(seed=1), run(seed=2)
    assert one != other
    assert [outcome.arrival for outcome in one.outcomes] == [outcome.arrival for outcome in other.outcomes]


def test_watching_changes_nothing() -> None:
    watched, _ = run()
    assert simulate(a_cluster(num_replicas=2, noise=0.05), TRAFFIC) == watched


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_meets_the_same_noise(policy: str) -> None:
    _, watch = run(policy)
    expected = lognormal_noise(0.05, seed=0)
    factors = noise_of(watch.of("replica-0"))
    assert factors == pytest.approx([expected() for _ in factors])


def test_no_two_replicas_or_seeds_share_their_noise() -> None:
    streams = [
        tuple(noise_of(run(seed=seed)[1].of(replica))[:5])
        for seed in range(3)
        for replica in ("replica-0", "replica-1")
    ]
    assert len(set(streams)) == len(streams)


def test_without_noise_iterations_take_what_the_law_says() -> None:
    watch = Watch()
    simulate(replace(a_cluster(), noise=0.0), TRAFFIC, on_plan=watch)
    assert set(noise_of(watch.every())) == {1.0}


def test_noise_has_median_one_and_the_spread_that_was_asked_for() -> None:
    noise = lognormal_noise(0.1, seed=1)
    factors = sorted(noise() for _ in range(10_001))
    assert factors[5000] == pytest.approx(1.0, abs=0.005)
    # A standard deviation to either side.
    assert factors[8413] == pytest.approx(1.105, abs=0.01)
    assert factors[1587] == pytest.approx(0.905, abs=0.01)
