"""Searches a policy's settings on some traffic, and recommends nothing that chance explains.

1. Every setting is varied by itself, all else as it was, under the requests of several seeds: the sensitivity.
2. Half way to the neighbours of a value that did better, values are tried, too.
3. The best values of the settings, those within noise left out, are put together one after the other as long as the
   loss falls.
4. What is best then is compared with where it began under seeds that the search has not seen. It is recommended only
   if it is better there, beyond noise: the best of many is best partly by luck, and fresh seeds know nothing of it.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, replace

from niyama_core.policies import SchedulerSettings
from niyama_eval.errors import WorkloadError
from niyama_eval.goodput import Point, measure_point
from niyama_eval.goodput_search import Interval
from niyama_eval.sensitivity import Difference, Effect, loss
from niyama_eval.settings import WorkloadSettings
from niyama_eval.workloads import generate_seeded

from niyama_sim.cluster import simulate
from niyama_sim.settings import SimulationSettings
from niyama_sim.side_by_side import Submit, side_by_side
from niyama_sim.tunables import Tunable

__all__ = ["Tuned", "TuningSettings", "TuningTrial", "simulate_setting", "tune"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSettings:
    """What a search for better settings is about.

    Attributes:
        cluster: its scheduler is where the search begins.
        workload: the traffic; it should be more than all can be on time of, else there is nothing to gain.
        tunables: settings to vary.
        seeds: of the search; the same seed gives every setting the same requests.
        fresh_seeds: of the comparison at the end, none of them among `seeds`.
    """

    cluster: SimulationSettings
    workload: WorkloadSettings
    tunables: Sequence[Tunable]
    seeds: Sequence[int] = (1, 2, 3)
    fresh_seeds: Sequence[int] = (4, 5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class TuningTrial:
    """Some settings under the requests of a seed."""

    scheduler: SchedulerSettings
    seed: int


@dataclass(frozen=True, slots=True)
class Tuned:
    """What the search found.

    Attributes:
        before: loss of the settings where it began, over the seeds of the search.
        effects: of every value that was tried by itself.
        best: the settings that did best in the search; None when none did better than those where it began.
        gain: what the best change of the loss under fresh seeds; None without any.
    """

    before: Interval
    effects: tuple[Effect, ...]
    best: SchedulerSettings | None
    gain: Difference | None

    @property
    def recommended(self) -> SchedulerSettings | None:
        """The best settings, if they are better beyond noise; None otherwise."""
        return self.best if self.gain is not None and self.gain.is_better else None


def simulate_setting(settings: TuningSettings, trial: TuningTrial) -> Point:
    """Simulate one trial.

    Raises:
        EvaluationError: the workload cannot be drawn.
        SimulationError: the cluster cannot run it.
    """
    cluster = replace(settings.cluster, scheduler=trial.scheduler, seed=trial.seed)
    requests = generate_seeded(settings.workload, cluster.classes, seed=trial.seed)
    if not requests:
        raise WorkloadError("duration", "no request arrives in that time", fix="ask for a longer one")
    return measure_point(simulate(cluster, requests).outcomes)


def tune(
    settings: TuningSettings,
    *,
    jobs: int = 1,
    on_trial: Callable[[TuningTrial, Point], None] = lambda trial, point: None,
) -> Tuned:
    """Search for better settings.

    Args:
        settings: of the search.
        jobs: simulations at a time, each in a process of its own if there are several.
        on_trial: told of every simulation.

    Raises:
        EvaluationError: the workload cannot be drawn.
        SimulationError: the cluster cannot run it.
    """
    with side_by_side(jobs) as submit:
        return _Search(settings, submit, on_trial=on_trial).run()


class _Search:
    """One search; knows every loss that has been measured, so that nothing is simulated twice."""

    def __init__(
        self, settings: TuningSettings, submit: Submit, *, on_trial: Callable[[TuningTrial, Point], None]
    ) -> None:
        self._settings = settings
        self._submit = submit
        self._on_trial = on_trial
        self._begin = settings.cluster.scheduler
        self._losses: dict[TuningTrial, float] = {}

    def run(self) -> Tuned:
        seeds = self._settings.seeds
        values = {tunable: tunable.values for tunable in self._settings.tunables}
        self._measure([self._begin], seeds)
        before = Interval.of([self._losses[TuningTrial(self._begin, seed)] for seed in seeds])
        effects = self._vary(values)
        best = None
        if before.mean > 0:
            effects += self._vary({tunable: tunable.between(self._best(tunable, effects).value) for tunable in values})
            best = self._together(effects)
        return Tuned(before, tuple(effects), best, None if best is None else self._gain(best))

    def _vary(self, values: Mapping[Tunable, Sequence[float]]) -> list[Effect]:
        """Return the effects of values by themselves."""
        tried = {(t, value): t.put(self._begin, value) for t, some in values.items() for value in some}
        self._measure(list(tried.values()), self._settings.seeds)
        return [
            Effect(tunable.key, value, self._difference(scheduler, self._settings.seeds))
            for (tunable, value), scheduler in tried.items()
        ]

    def _best(self, tunable: Tunable, effects: Sequence[Effect]) -> Effect:
        """Return the effect of the value of a setting that did best."""
        mine = (effect for effect in effects if effect.setting == tunable.key)
        return min(mine, key=lambda effect: effect.difference.mean)

    def _together(self, effects: Sequence[Effect]) -> SchedulerSettings | None:
        """Return values that are better beyond noise, put together as long as the loss falls; the best first."""
        best, least = self._begin, 0.0
        for effect, tunable in self._by_gain(effects):
            candidate = tunable.put(best, effect.value)
            self._measure([candidate], self._settings.seeds)
            change = self._difference(candidate, self._settings.seeds).mean
            if change < least:
                best, least = candidate, change
        return None if best == self._begin else best

    def _by_gain(self, effects: Sequence[Effect]) -> list[tuple[Effect, Tunable]]:
        """Return the best value of each setting that is better beyond noise, those that gain most first."""
        best = ((self._best(tunable, effects), tunable) for tunable in self._settings.tunables)
        beyond_noise = [pair for pair in best if pair[0].difference.is_better]
        return sorted(beyond_noise, key=lambda pair: pair[0].difference.mean)

    def _gain(self, best: SchedulerSettings) -> Difference:
        self._measure([self._begin, best], self._settings.fresh_seeds)
        return self._difference(best, self._settings.fresh_seeds)

    def _difference(self, scheduler: SchedulerSettings, seeds: Sequence[int]) -> Difference:
        """Return what settings change of the loss where it began, seed by seed."""
        return Difference.of(
            [self._losses[TuningTrial(scheduler, s)] - self._losses[TuningTrial(self._begin, s)] for s in seeds]
        )

    def _measure(self, schedulers: Sequence[SchedulerSettings], seeds: Sequence[int]) -> None:
        """Simulate whatever is not known yet."""
        trials = dict.fromkeys(TuningTrial(scheduler, seed) for scheduler in schedulers for seed in seeds)
        begun: dict[Future[Point], TuningTrial] = {}
        for trial in trials:
            if trial not in self._losses:
                begun[self._submit(simulate_setting, self._settings, trial)] = trial
        for done in as_completed(begun):
            self._losses[begun[done]] = loss(done.result())
            self._on_trial(begun[done], done.result())
