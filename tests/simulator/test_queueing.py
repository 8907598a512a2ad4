"""The simulator against queueing theory: where a formula gives the mean wait, the simulated one is that.

A replica is made a single server whose service times are known: one request an iteration, or one request at a time.
A simulated mean is compared with the formula within four standard errors, estimated from the run itself by batch
means, and the run is long enough for that to be a few per cent. Beside the formulas stand recursions that hold for
every single request, to rounding.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import pytest
from niyama_core.policies import SchedulerSettings
from niyama_core.slo import Batch, Promise
from niyama_eval.outcomes import RequestOutcome
from niyama_eval.workloads import WorkloadRequest
from niyama_sim.cluster import simulate
from niyama_sim.settings import SimulationSettings

from tests.builders import SteadyLaw
from tests.simulator.clusters import UNBOUNDED, Size, Watch, a_cluster, a_profile, poisson

URGENT = Promise("urgent", Batch(ttlt=1.0))
PATIENT = Promise("patient", Batch(ttlt=1e9))

LAW = SteadyLaw(seconds=0.1, seconds_per_token=0.001)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, and the standard error of it."""

    mean: float
    error: float

    def agrees_with(self, theory: float) -> bool:
        """Whether the difference is noise, in an estimate that is fine enough to tell."""
        assert self.error < 0.05 * theory, f"the run is too short: {self}"
        return abs(self.mean - theory) < 4 * self.error


def estimate(values: Sequence[float], num_batches: int = 25) -> Estimate:
    """Return the mean of values that depend on their neighbours, by batch means; the first tenth is warm-up."""
    kept = values[len(values) // 10 :]
    size = len(kept) // num_batches
    means = [fmean(kept[start : start + size]) for start in range(0, size * num_batches, size)]
    return Estimate(fmean(means), stdev(means) / math.sqrt(num_batches))


def a_server(policy: str, *, law: SteadyLaw = LAW) -> SimulationSettings:
    """Return a cluster that serves one request at a time, each prompt in one iteration."""
    settings = a_cluster(policy, profile=a_profile(law))
    return replace(settings, scheduler=SchedulerSettings(policy, token_budget=UNBOUNDED, max_num_seqs=1))


def service_seconds(asked: WorkloadRequest) -> float:
    """Return how long a server is busy with a request: its prefill, and an iteration for each further token."""
    prefill = LAW.seconds + LAW.seconds_per_token * asked.num_prompt_tokens
    return prefill + (asked.num_output_tokens - 1) * (LAW.seconds + LAW.seconds_per_token)


def waits(workload: Sequence[WorkloadRequest], settings: SimulationSettings) -> list[float]:
    """Return the seconds that each request waited before it was served."""
    outcomes = simulate(settings, workload).outcomes
    return [answered(outcome) - service_seconds(asked) for outcome, asked in zip(outcomes, workload, strict=True)]


def answered(outcome: RequestOutcome) -> float:
    assert outcome.ttlt is not None
    return outcome.ttlt


def lindley(workload: Sequence[WorkloadRequest]) -> list[float]:
    """Return the waits in one queue, first come first served: each finds what the one before it has left."""
    found, free_at = [], 0.0
    for asked in workload:
        found.append(max(0.0, free_at - asked.arrival))
        free_at = asked.arrival + found[-1] + service_seconds(asked)
    return found


def two_sizes(rng: random.Random) -> Size:
    """Draw short and long requests, some with longer answers."""
    return rng.choice((50, 50, 50, 800)), rng.choice((1, 4)), PATIENT


def mean_residual_work(workload: Sequence[WorkloadRequest], qps: float) -> float:
    """Return the mean work in service that an arrival finds: half the rate times the mean squared service."""
    return qps * fmean(service_seconds(asked) ** 2 for asked in workload) / 2


def utilisation(workload: Sequence[WorkloadRequest], qps: float) -> float:
    """Return the share of time that the workload keeps a server busy."""
    return qps * fmean(map(service_seconds, workload))


def test_constant_service_waits_as_in_m_d_1() -> None:
    # A budget of exactly one prompt makes every iteration a service of one second.
    law, rate = SteadyLaw(seconds=1.0, seconds_per_token=0.0), 0.6
    scheduler = SchedulerSettings("sarathi-fcfs", token_budget=100)
    settings = replace(a_cluster(profile=a_profile(law)), scheduler=scheduler)
    workload = poisson(12_000, qps=rate, size=lambda _: (100, 1, PATIENT))
    outcomes = simulate(settings, workload).outcomes
    measured = estimate([answered(outcome) - 1.0 for outcome in outcomes])
    assert measured.agrees_with(rate / (2 * (1 - rate)))


def test_first_come_first_served_waits_by_pollaczek_and_khinchine() -> None:
    qps = 0.9
    workload = poisson(12_000, qps=qps, size=two_sizes)
    rho = utilisation(workload, qps)
    assert 0.4 < rho < 0.7
    measured = estimate(waits(workload, a_server("sarathi-fcfs")))
    assert measured.agrees_with(mean_residual_work(workload, qps) / (1 - rho))


def by_deadline(rng: random.Random) -> Size:
    """Draw the class apart from the size."""
    prompt, output, _ = two_sizes(rng)
    return prompt, output, rng.choice((URGENT, PATIENT))


def by_length(rng: random.Random) -> Size:
    """Draw the class with the size: the short ones are urgent."""
    prompt = rng.choice((50, 50, 800))
    return prompt, 1, URGENT if prompt == 50 else PATIENT


@pytest.mark.parametrize(("policy", "size"), [("sarathi-edf", by_deadline), ("sarathi-srpf", by_length)])
def test_two_classes_wait_as_in_a_queue_with_priorities(policy: str, size: Callable[[random.Random], Size]) -> None:
    qps = 1.0
    workload = poisson(12_000, qps=qps, size=size)
    urgent = [asked for asked in workload if asked.promise is URGENT]
    share = len(urgent) / len(workload)
    rho, rho_urgent = utilisation(workload, qps), utilisation(urgent, share * qps)
    residual = mean_residual_work(workload, qps)
    measured = list(zip(workload, waits(workload, a_server(policy)), strict=True))
    assert estimate([wait for asked, wait in measured if asked.promise is URGENT]).agrees_with(
        residual / (1 - rho_urgent)
    )
    assert estimate([wait for asked, wait in measured if asked.promise is PATIENT]).agrees_with(
        residual / ((1 - rho_urgent) * (1 - rho))
    )


def test_every_single_wait_is_that_of_lindleys_recursion() -> None:
    workload = poisson(3000, qps=1.2, size=two_sizes)
    assert waits(workload, a_server("sarathi-fcfs")) == pytest.approx(lindley(workload), abs=1e-6)


def test_replicas_served_in_turn_are_queues_of_their_own() -> None:
    workload = poisson(3000, qps=3.0, size=two_sizes)
    settings = replace(a_server("sarathi-fcfs"), num_replicas=3, placement="round-robin")
    measured = waits(workload, settings)
    for turn in range(3):
        assert measured[turn::3] == pytest.approx(lindley(workload[turn::3]), abs=1e-6)


@pytest.mark.parametrize("policy", ["sarathi-edf", "sarathi-srpf", "sarathi-sjf"])
def test_the_order_of_service_moves_no_work(policy: str) -> None:
    workload = poisson(2000, qps=1.2, size=by_deadline)
    assert busy_periods(policy, workload) == pytest.approx(busy_periods("sarathi-fcfs", workload), abs=1e-6)


def busy_periods(policy: str, workload: Sequence[WorkloadRequest]) -> list[float]:
    """Return when the server fell idle and when it was busy again, in turn."""
    watch = Watch()
    simulate(a_server(policy), workload, on_plan=watch)
    return [instant for pause in watch.pauses() for instant in pause]
