"""A policy's settings, searched."""

from dataclasses import fields, replace

import pytest
from niyama_core.policies import SchedulerSettings
from niyama_core.qos_section import scheduler_document
from niyama_eval.goodput import Point
from niyama_eval.settings import WorkloadSettings
from niyama_sim.settings import SimulationSettings
from niyama_sim.tunables import NOT_TUNED, TUNABLES, Tunable, tunables_of
from niyama_sim.tuning import Tuned, TuningSettings, TuningTrial, tune

from tests.builders import A100

FCFS = SchedulerSettings("sarathi-fcfs", token_budget=128)
BUDGET = Tunable("token_budget", "tokenBudget", (128, 256), is_whole=True)
SETTINGS = TuningSettings(
    cluster=SimulationSettings(scheduler=FCFS),
    workload=WorkloadSettings(workloads=("azure-code-2024",), qps=3.0, num_requests=150, context_tokens=16_384),
    tunables=[BUDGET],
    seeds=(1, 2, 3),
    fresh_seeds=(4, 5, 6, 7),
)


def used(policy: str) -> list[str]:
    return [tunable.key for tunable in tunables_of(SchedulerSettings(policy), A100.predictor)]


def test_which_settings_a_policy_uses_is_found_out() -> None:
    assert used("sarathi-fcfs") == ["tokenBudget"]
    assert used("qoserve") == ["alpha", "safety", "maxTokenBudget"]


def test_every_setting_of_the_scheduler_is_in_the_table_or_left_out_with_a_reason() -> None:
    in_table = {tunable.field for tunable in TUNABLES}
    missing = {field.name for field in fields(SchedulerSettings)} - in_table - set(NOT_TUNED)
    assert not missing, f"give {missing} a line in TUNABLES, or name it in NOT_TUNED"


@pytest.mark.parametrize("tunable", TUNABLES, ids=lambda tunable: tunable.key)
def test_every_value_of_the_table_is_one_that_a_manifest_may_have(tunable: Tunable) -> None:
    assert list(tunable.values) == sorted(tunable.values)
    for value in tunable.values:
        assert scheduler_document(tunable.put(SchedulerSettings(), value))[tunable.key] == value


def test_the_search_goes_on_half_way_to_the_neighbours() -> None:
    tunable = Tunable("token_budget", "tokenBudget", (100, 200, 400), is_whole=True)
    assert tunable.between(200) == (150, 300)
    assert tunable.between(100) == (150,)
    assert tunable.between(123) == ()


@pytest.fixture(scope="module")
def found() -> tuple[Tuned, list[TuningTrial]]:
    trials: list[TuningTrial] = []
    return tune(SETTINGS, on_trial=lambda trial, point: trials.append(trial)), trials


def test_a_larger_budget_of_a_replica_that_cannot_keep_up_is_recommended(
    found: tuple[Tuned, list[TuningTrial]],
) -> None:
    tuned, _ = found
    assert tuned.before.mean > 0.1
    assert tuned.recommended is not None
    assert tuned.recommended.token_budget > 128
    assert tuned.gain is not None
    assert tuned.gain.mean < -0.05


def test_nothing_is_simulated_twice_and_the_last_comparison_has_seeds_of_its_own(
    found: tuple[Tuned, list[TuningTrial]],
) -> None:
    tuned, trials = found
    assert len(trials) == len(set(trials))
    fresh = [trial for trial in trials if trial.seed > 3]
    assert {trial.scheduler for trial in fresh} == {FCFS, tuned.best}
    assert trials[-len(fresh) :] == fresh


def test_what_only_chance_makes_better_is_not_recommended() -> None:
    unused = replace(SETTINGS, tunables=[Tunable("safety", "safety", (1.1, 1.3))])
    tuned = tune(unused)
    assert tuned.recommended is None
    assert {effect.verdict for effect in tuned.effects} == {"no effect"}


def test_where_nothing_is_missed_nothing_is_recommended() -> None:
    calm = replace(SETTINGS, workload=replace(SETTINGS.workload, qps=0.2, num_requests=20))
    points: list[Point] = []
    tuned = tune(calm, on_trial=lambda trial, point: points.append(point))
    assert (tuned.before.mean, tuned.best, tuned.gain) == (0.0, None, None)
    assert len(points) == 6
