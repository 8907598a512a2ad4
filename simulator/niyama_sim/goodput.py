"""Goodput of a simulated cluster: one search for each policy and seed, their simulations run side by side.

The searches are pure (`niyama_eval.goodput_search`); here they are driven: whatever rate a search asks for is
simulated, in a process of its own if there are several, and what it came to is judged by the rule. Points that are
known already are not simulated again. Neither the number of processes nor what is known changes a result.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace

from niyama_eval.errors import WorkloadError
from niyama_eval.goodput import RULES, Point, measure_point
from niyama_eval.goodput_search import Grid, Interval, Search, SearchError, search
from niyama_eval.settings import WorkloadSettings
from niyama_eval.suggestion import carried_qps
from niyama_eval.workloads import WorkloadRequest, generate_seeded

from niyama_sim.cluster import simulate
from niyama_sim.settings import SimulationSettings
from niyama_sim.side_by_side import Submit, side_by_side

__all__ = ["Asked", "Goodput", "GoodputSettings", "estimate_qps", "find_goodput", "sample_requests", "simulate_point"]

_SAMPLE_REQUESTS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodputSettings:
    """What a search for goodput is about.

    Attributes:
        cluster: the policy and the seed in it are those of each search.
        workload: its rate is that of each point, for all replicas together.
        rule: one of `RULES`.
        seeds: one search each; the same seed gives every policy the same requests.
        resolution: one step of the rates that are tried.
    """

    cluster: SimulationSettings
    workload: WorkloadSettings
    rule: str = "published"
    seeds: Sequence[int] = (1, 2, 3)
    resolution: float = 0.01

    @property
    def grid(self) -> Grid:
        """The rates that are tried."""
        return Grid(self.resolution)


@dataclass(frozen=True, slots=True)
class Asked:
    """One point: a policy under the requests of a seed, at so many requests per second and replica."""

    policy: str
    seed: int
    qps: float


@dataclass(frozen=True, slots=True)
class Goodput:
    """What the searches of one policy found.

    Attributes:
        by_seed: requests per second and replica, for each seed.
        limits: for each seed why the next rate failed.
    """

    by_seed: Mapping[int, float]
    limits: Mapping[int, Sequence[str]]

    @property
    def interval(self) -> Interval:
        """The mean over the seeds."""
        return Interval.of(list(self.by_seed.values()))


@dataclass(slots=True)
class _Running:
    """A search that waits for a point."""

    policy: str
    seed: int
    search: Search
    step: int
    failures: dict[int, tuple[str, ...]] = field(default_factory=dict)
    found: int | None = None

    def asked(self, grid: Grid) -> Asked:
        return Asked(self.policy, self.seed, grid.qps(self.step))

    def tell(self, reasons: tuple[str, ...]) -> None:
        """Hand the search what became of its point, and note which it wants next, or what it found."""
        if reasons:
            self.failures[self.step] = reasons
        try:
            self.step = self.search.send(not reasons)
        except StopIteration as end:
            self.found = end.value


def find_goodput(
    settings: GoodputSettings,
    policies: Sequence[str],
    *,
    jobs: int = 1,
    known: Mapping[Asked, Point] | None = None,
    on_point: Callable[[Asked, Point], None] = lambda asked, point: None,
    estimate: float | None = None,
) -> Mapping[str, Goodput]:
    """Search for the goodput of each policy.

    Args:
        settings: of the searches.
        policies: to search for.
        jobs: simulations at a time, each in a process of its own if there are several.
        known: points that need no simulation.
        on_point: told of every point that was simulated.
        estimate: requests per second and replica to begin with; it decides how long the search takes.

    Raises:
        SearchError: a search has no end; the message names policy and seed.
        EvaluationError: the workload cannot be drawn.
        SimulationError: the cluster cannot run it.
    """
    known = known or {}
    start = settings.grid.step(estimate or estimate_qps(settings))
    searches = [_start(policy, seed, start=start, grid=settings.grid) for policy in policies for seed in settings.seeds]
    with side_by_side(jobs) as submit:
        waiting: dict[Future[Point], _Running] = {}
        for running in searches:
            _advance(running, settings, known=known, submit=submit, waiting=waiting)
        while waiting:
            for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                running, point = waiting.pop(done), done.result()
                on_point(running.asked(settings.grid), point)
                _tell(running, point, rule=settings.rule)
                _advance(running, settings, known=known, submit=submit, waiting=waiting)
    return {policy: _goodput([s for s in searches if s.policy == policy], settings.grid) for policy in policies}


def _start(policy: str, seed: int, *, start: int, grid: Grid) -> _Running:
    steps = search(start, farthest=grid.farthest)
    return _Running(policy, seed, steps, next(steps))


def _advance(
    running: _Running,
    settings: GoodputSettings,
    *,
    known: Mapping[Asked, Point],
    submit: Submit,
    waiting: dict["Future[Point]", _Running],
) -> None:
    """Take a search as far as is known, and have the next point simulated."""
    while running.found is None:
        asked = running.asked(settings.grid)
        if asked not in known:
            waiting[submit(simulate_point, settings, asked)] = running
            return
        _tell(running, known[asked], rule=settings.rule)


def _tell(running: _Running, point: Point, *, rule: str) -> None:
    try:
        running.tell(RULES[rule](point))
    except SearchError as error:
        raise type(error)(f"{running.policy}, seed {running.seed}: {error}") from error


def _goodput(searches: Sequence[_Running], grid: Grid) -> Goodput:
    found = {one.seed: one.found for one in searches if one.found is not None}
    return Goodput(
        by_seed={seed: grid.qps(step) for seed, step in found.items()},
        limits={one.seed: one.failures.get((one.found or 0) + 1, ()) for one in searches},
    )


def simulate_point(settings: GoodputSettings, asked: Asked) -> Point:
    """Simulate one point.

    Raises:
        EvaluationError: the workload cannot be drawn.
        SimulationError: the cluster cannot run it.
    """
    cluster = replace(settings.cluster.with_policy(asked.policy), seed=asked.seed)
    workload = replace(settings.workload, qps=asked.qps * cluster.num_replicas)
    requests = generate_seeded(workload, cluster.classes, seed=asked.seed)
    if not requests:
        raise WorkloadError("duration", "no request arrives in that time", fix="ask for a longer one")
    return measure_point(simulate(cluster, requests).outcomes)


def sample_requests(settings: GoodputSettings) -> Sequence[WorkloadRequest]:
    """Return some requests of the workload, whose sizes and promises are those of all.

    Raises:
        EvaluationError: they cannot be drawn.
    """
    sample = replace(settings.workload, qps=1.0, num_requests=_SAMPLE_REQUESTS, duration=None)
    return generate_seeded(sample, settings.cluster.classes, seed=0)


def estimate_qps(settings: GoodputSettings) -> float:
    """Return about how many such requests a replica could serve in a second, if it computed nothing but full chunks."""
    cluster = settings.cluster
    requests = sample_requests(settings)
    mean_prompt = sum(request.num_prompt_tokens for request in requests) / len(requests)
    mean_output = sum(request.num_output_tokens for request in requests) / len(requests)
    law = cluster.profile.at_speed(cluster.speed).law
    return carried_qps(mean_prompt, mean_output, law=law)
