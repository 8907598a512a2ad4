"""Several clusters under the same requests: each seed, each rate, one simulation a contender, run side by side.

The requests of a seed are drawn once for all contenders, whatever they are made of, so that what differs between two
runs is what differs between two clusters. Neither their number nor how many run at a time changes a run.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field, replace

from niyama_eval.counted import Counted
from niyama_eval.errors import WorkloadError
from niyama_eval.run_figures import Figures, run_figures
from niyama_eval.settings import WorkloadSettings
from niyama_eval.workloads import generate_seeded

from niyama_sim.cluster import simulate
from niyama_sim.settings import SimulationSettings
from niyama_sim.side_by_side import side_by_side

__all__ = ["Contest", "Trial", "hold", "simulate_trial"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What is set against each other, and on which traffic.

    Attributes:
        contenders: clusters by name; the seed in them is that of each run. They have the same classes.
        workload: the traffic; its rate is that of each run, if rates are given.
        seeds: a run each, for every contender and rate.
        rates: requests per second; empty leaves the rate that the workload has.
        counted: which requests of a run count.
    """

    contenders: Mapping[str, SimulationSettings]
    workload: WorkloadSettings
    seeds: Sequence[int] = (1, 2, 3)
    rates: Sequence[float] = ()
    counted: Counted = field(default_factory=Counted)

    def trials(self) -> Sequence["Trial"]:
        """Return every run, those of a seed and rate one after the other."""
        rates = self.rates or (self.workload.qps,)
        return [Trial(name, seed, qps) for qps in rates for seed in self.seeds for name in self.contenders]


@dataclass(frozen=True, slots=True)
class Trial:
    """One run: a contender under the requests of a seed, at a rate; None is the traffic's own."""

    contender: str
    seed: int
    qps: float | None


def hold(
    contest: Contest, *, jobs: int = 1, on_trial: Callable[[Trial, Figures], None] = lambda trial, figures: None
) -> Mapping[Trial, Figures]:
    """Run all trials, and return their figures in the order of the trials.

    Args:
        contest: what is run.
        jobs: simulations at a time, each in a process of its own if there are several.
        on_trial: told of every run that has ended.

    Raises:
        EvaluationError: the requests cannot be drawn, or none of them counts.
        SimulationError: a cluster cannot run them.
    """
    trials = contest.trials()
    begun: dict[Future[Figures], Trial] = {}
    done: dict[Trial, Figures] = {}

    def tell(future: "Future[Figures]") -> None:
        if begun[future] not in done:
            done[begun[future]] = future.result()
            on_trial(begun[future], future.result())

    with side_by_side(jobs) as submit:
        for trial in trials:
            future = submit(simulate_trial, contest, trial)
            begun[future] = trial
            if future.done():
                tell(future)
        for future in as_completed(begun):
            tell(future)
    return {trial: done[trial] for trial in trials}


def simulate_trial(contest: Contest, trial: Trial) -> Figures:
    """Simulate one run.

    Raises:
        EvaluationError: the requests cannot be drawn, or none of them counts.
        SimulationError: the cluster cannot run them.
    """
    cluster = replace(contest.contenders[trial.contender], seed=trial.seed)
    requests = generate_seeded(replace(contest.workload, qps=trial.qps), cluster.classes, seed=trial.seed)
    if not requests:
        raise WorkloadError("duration", "no request arrives in that time", fix="ask for a longer one")
    outcomes = contest.counted.of(simulate(cluster, requests).outcomes)
    return run_figures(outcomes, class_names=list(cluster.classes.by_name))
