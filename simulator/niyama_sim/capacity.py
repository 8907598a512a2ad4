"""How many replicas a fleet needs for some traffic: one search for each fleet, their simulations run side by side.

The searches are pure (`niyama_eval.requirement`); here they are driven. Silos are searched pool by pool: a pool serves
one class alone, so the fewest replicas of all silos are the sum of the fewest of each.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace

from niyama_core.policies import SchedulerSettings
from niyama_core.slo import QosClasses
from niyama_eval.errors import WorkloadError
from niyama_eval.goodput import Point, measure_point
from niyama_eval.goodput_search import SearchError
from niyama_eval.requirement import FewestSearch, Measure, Requirement, fewest
from niyama_eval.settings import WorkloadSettings
from niyama_eval.suggestion import carried_qps
from niyama_eval.workloads import WorkloadRequest, generate_seeded

from niyama_sim.cluster import simulate
from niyama_sim.settings import SimulationSettings, silo_pools
from niyama_sim.side_by_side import Submit, side_by_side

__all__ = [
    "CapacitySettings",
    "Fleet",
    "Trial",
    "draw_requests",
    "estimate_replicas",
    "find_capacity",
    "shared_fcfs",
    "silo_fleets",
    "simulate_trial",
]


@dataclass(frozen=True, slots=True)
class Fleet:
    """A way to serve: the policy of all replicas, how requests are spread, and of which class they are.

    Attributes:
        name: to tell it from others.
        scheduler: of every replica.
        placement: of the router.
        qos_class: the one class that it serves; None for a fleet that all classes share.
    """

    name: str
    scheduler: SchedulerSettings
    placement: str
    qos_class: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacitySettings:
    """What a search for the fewest replicas is about.

    Attributes:
        cluster: scheduler, placement and number of replicas in it are those of each trial.
        workload: the traffic, at the rate that all replicas together must carry.
        measure: what passes.
        seeds: the same seed gives every fleet the same requests.
        most: replicas to try at most.
    """

    cluster: SimulationSettings
    workload: WorkloadSettings
    measure: Measure
    seeds: Sequence[int] = (1, 2, 3)
    most: int = 64


@dataclass(frozen=True, slots=True)
class Trial:
    """A fleet of so many replicas under the requests of a seed."""

    fleet: Fleet
    num_replicas: int
    seed: int


def shared_fcfs(classes: QosClasses, *, placement: str) -> Fleet:
    """Return the fleet that all classes share first come, first served, with the token budget of the tightest."""
    tightest = min((fleet.scheduler for fleet in silo_fleets(classes, placement=placement)), key=_token_budget)
    return Fleet("fcfs, shared", tightest, placement)


def silo_fleets(classes: QosClasses, *, placement: str) -> tuple[Fleet, ...]:
    """Return a fleet for each class, first come, first served, with the published token budgets."""
    pools = silo_pools(classes, [1] * len(classes.by_name))
    names = ((next(iter(pool.classes)), pool.scheduler) for pool in pools)
    return tuple(Fleet(f"silo {name}", scheduler, placement, name) for name, scheduler in names)


def draw_requests(settings: CapacitySettings, *, seed: int) -> Sequence[WorkloadRequest]:
    """Return the traffic as a seed gives it.

    Raises:
        EvaluationError: it cannot be drawn, or there is none.
    """
    requests = generate_seeded(settings.workload, settings.cluster.classes, seed=seed)
    if not requests:
        raise WorkloadError("duration", "no request arrives in that time", fix="ask for a longer one")
    return requests


def estimate_replicas(requests: Sequence[WorkloadRequest], cluster: SimulationSettings) -> int:
    """Return about how many replicas the requests would keep busy with nothing but full chunks; at least 1."""
    seconds = max(requests[-1].arrival - requests[0].arrival, 1.0)
    mean_prompt = sum(request.num_prompt_tokens for request in requests) / len(requests)
    mean_output = sum(request.num_output_tokens for request in requests) / len(requests)
    law = cluster.profile.at_speed(cluster.speed).law
    return math.ceil(len(requests) / seconds / carried_qps(mean_prompt, mean_output, law=law))


def find_capacity(
    settings: CapacitySettings,
    fleets: Sequence[Fleet],
    *,
    start: int | None = None,
    jobs: int = 1,
    on_trial: Callable[[Trial, Point], None] = lambda trial, point: None,
) -> Mapping[str, Requirement]:
    """Search for the fewest replicas of each fleet, by its name.

    Args:
        settings: of the searches.
        fleets: to search for; every class that one of them serves alone must have requests.
        start: replicas to begin with; None estimates them for each fleet. It decides how long the search takes.
        jobs: simulations at a time, each in a process of its own if there are several.
        on_trial: told of every simulation.

    Raises:
        EvaluationError: the workload cannot be drawn.
        SimulationError: a cluster cannot run it.
    """
    requests = draw_requests(settings, seed=settings.seeds[0])
    searches = [_start(f, settings, start=start or _estimate(f, requests, cluster=settings.cluster)) for f in fleets]
    with side_by_side(jobs) as submit:
        waiting: dict[Future[Point], tuple[_Running, Trial]] = {}
        for running in searches:
            _advance(running, settings, submit=submit, waiting=waiting)
        while waiting:
            for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                running, trial = waiting.pop(done)
                on_trial(trial, done.result())
                running.points.setdefault(trial.num_replicas, {})[trial.seed] = done.result()
                _advance(running, settings, submit=submit, waiting=waiting)
    return {one.fleet.name: Requirement(one.found, one.points, settings.measure) for one in searches}


def simulate_trial(settings: CapacitySettings, trial: Trial) -> Point:
    """Simulate one trial.

    Raises:
        EvaluationError: the workload cannot be drawn.
        SimulationError: the cluster cannot run it.
    """
    fleet = trial.fleet
    cluster = replace(
        settings.cluster,
        scheduler=fleet.scheduler,
        placement=fleet.placement,
        num_replicas=trial.num_replicas,
        seed=trial.seed,
    )
    mine = _served(fleet, draw_requests(settings, seed=trial.seed))
    return measure_point(simulate(cluster, mine).outcomes)


def _served(fleet: Fleet, requests: Sequence[WorkloadRequest]) -> Sequence[WorkloadRequest]:
    """Return the requests that a fleet serves."""
    return [one for one in requests if fleet.qos_class in (None, one.promise.qos_class)]


def _estimate(fleet: Fleet, requests: Sequence[WorkloadRequest], *, cluster: SimulationSettings) -> int:
    return estimate_replicas(_served(fleet, requests), cluster)


@dataclass(slots=True)
class _Running:
    """A search that waits for the points of some number of replicas."""

    fleet: Fleet
    search: FewestSearch
    num_replicas: int
    points: dict[int, dict[int, Point]] = field(default_factory=dict)
    asked: set[tuple[int, int]] = field(default_factory=set)
    found: int | None = None
    is_over: bool = False

    def tell(self, passed: bool) -> None:
        """Hand the search what became of its number, and note which it wants next, or what it found."""
        try:
            self.num_replicas = self.search.send(passed)
        except StopIteration as end:
            self.found, self.is_over = end.value, True
        except SearchError:
            self.is_over = True


def _start(fleet: Fleet, settings: CapacitySettings, *, start: int) -> _Running:
    search = fewest(start, most=settings.most)
    return _Running(fleet, search, next(search))


def _advance(
    running: _Running,
    settings: CapacitySettings,
    *,
    submit: Submit,
    waiting: dict["Future[Point]", tuple[_Running, Trial]],
) -> None:
    """Take a search as far as is known, and have simulated what it needs to know next.

    The first seed goes ahead: if the mean fails whatever the others say, they are not simulated.
    """
    while not running.is_over:
        known = running.points.get(running.num_replicas, {})
        seeds = settings.seeds if known else settings.seeds[:1]
        is_hopeless = any(settings.measure.is_hopeless(p, num_seeds=len(settings.seeds)) for p in known.values())
        if not is_hopeless and len(known) < len(settings.seeds):
            for seed in seeds:
                trial = Trial(running.fleet, running.num_replicas, seed)
                if (trial.num_replicas, seed) not in running.asked:
                    running.asked.add((trial.num_replicas, seed))
                    waiting[submit(simulate_trial, settings, trial)] = running, trial
            return
        running.tell(not is_hopeless and not settings.measure.failures(Point.mean(list(known.values()))))


def _token_budget(scheduler: SchedulerSettings) -> int:
    return scheduler.token_budget
