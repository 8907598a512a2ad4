"""Tables of runs: each line a cluster under some traffic, each column a figure, the published one beside it."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from niyama_core.output_length import OutputLengthHistory
from niyama_core.relegation import HintedRelegation, Outlook
from niyama_core.request import LiveRequest
from niyama_eval.assessment import LONG_PROMPT_TOKENS
from niyama_eval.goodput import measure_point
from niyama_eval.plots import save_png
from niyama_eval.run_figures import run_figures
from niyama_eval.settings import WorkloadSettings
from niyama_eval.workloads import WorkloadRequest, generate_seeded
from niyama_sim.cluster import simulate
from niyama_sim.settings import SimulationSettings
from niyama_sim.side_by_side import side_by_side

from bench.results.decisions import decisions
from bench.results.page import MISSING, OLD, interval, rows, wrapped
from bench.results.pictures import curves
from bench.results.store import Store, fingerprint

__all__ = ["Column", "Run", "RunTable", "Sweep"]


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of every run: its title, its name in the JSON, and its unit, of those in `page.py`."""

    title: str
    figure: str
    unit: str = "share"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One line: a run for each seed.

    Attributes:
        labels: its first cells; together they name it.
        cluster: as it is.
        traffic: as it comes.
        published: what was published, by title of column, as the page has it.
        only_long: whether short prompts are left out, and as many more drawn.
        correlation: of the ranks of one prompt's length and the next one's; lengths are drawn independently at 0.
        length_error: by which factor answers are thought to be longer than history tells.
        in_tiers: whether unimportant requests wait for all important ones, and not only for those whom they would make
            late.
        x: where it is in a sweep.
    """

    labels: tuple[str, ...]
    cluster: SimulationSettings
    traffic: WorkloadSettings
    published: Mapping[str, str] = field(default_factory=dict)
    only_long: bool = False
    correlation: float = 0.0
    length_error: float = 1.0
    in_tiers: bool = False
    x: float | None = None

    @property
    def key(self) -> str:
        """Its name in the JSON."""
        return ", ".join(self.labels)

    @property
    def settings(self) -> str:
        """What tells its settings, and how its policies decide, from any others."""
        changes = (self.only_long, self.correlation, self.length_error, *(("in tiers",) if self.in_tiers else ()))
        return fingerprint(decisions(self.cluster), self.cluster, self.traffic, *changes)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A picture of one column: a curve for each value of the first label, at each run's `x`."""

    column: Column
    axis: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTable:
    """Figures of several runs.

    Attributes:
        name: of the files.
        lead: the page above the table.
        head: titles of the labels.
        columns: one figure each.
        runs: one line each.
        seeds: a run each.
        sweep: what is drawn, if something is.
    """

    name: str
    lead: str
    head: tuple[str, ...]
    columns: Sequence[Column]
    runs: Sequence[Run]
    seeds: Sequence[int]
    sweep: Sweep | None = None

    def compute(self, store: Store, *, jobs: int) -> None:
        """Compute whatever is not there yet."""
        begun: dict[Future[dict[str, float]], tuple[Run, int]] = {}
        with side_by_side(jobs) as submit:
            for seed in self.seeds:
                for run in self.runs:
                    if store.fresh(_key(run, seed), run.settings) is None:
                        future = submit(simulate_run, run, seed)
                        begun[future] = run, seed
                        if future.done():
                            _keep(store, future, *begun.pop(future))
            for future in as_completed(list(begun)):
                _keep(store, future, *begun[future])

    def page(self, store: Store) -> str:
        """Return the page in Markdown."""
        head = [*self.head, *(column.title for column in self.columns)]
        body = [[*run.labels, *(self._cell(store, run, column) for column in self.columns)] for run in self.runs]
        picture = f"\n![{self.sweep.title}]({self.name}.png)\n" if self.sweep and self._points(store) else ""
        return f"{wrapped(self.lead)}\n\n{rows(head, body)}\n{picture}"

    def values(self, store: Store, run: Run, figure: str) -> tuple[list[float], bool]:
        """Return a figure of each seed, and whether all of them are fresh."""
        found = [one for seed in self.seeds if (one := store.find(_key(run, seed), run.settings)) is not None]
        values = [one.value[figure] for one in found if figure in one.value]
        return values, all(one.is_fresh for one in found) and len(found) == len(self.seeds)

    def _cell(self, store: Store, run: Run, column: Column) -> str:
        values, is_fresh = self.values(store, run, column.figure)
        paper = run.published.get(column.title)
        beside = f"; published {paper}" if paper else ""
        if not values:
            has_run = store.find(_key(run, self.seeds[0]), run.settings) is not None
            return f"{'–' if has_run else MISSING}{beside}"
        return f"{interval(values, unit=column.unit)}{'' if is_fresh else OLD}{beside}"

    def draw(self, store: Store, folder: Path) -> None:
        """Draw the sweep, if there is one and it is there."""
        points = self._points(store)
        if self.sweep and points:
            save_png(curves(points, title=self.sweep.title, axis=self.sweep.axis), folder / f"{self.name}.png")

    def _points(self, store: Store) -> Mapping[str, Sequence[tuple[float, float]]]:
        """Return what is there of the sweep's curves."""
        points: dict[str, list[tuple[float, float]]] = {}
        if self.sweep is None:
            return points
        for run in self.runs:
            values, _ = self.values(store, run, self.sweep.column.figure)
            if values and run.x is not None:
                points.setdefault(run.labels[0].strip("`"), []).append((run.x, float(np.mean(values))))
        return points


def _key(run: Run, seed: int) -> str:
    return f"{run.key}: seed {seed}"


def _keep(store: Store, future: "Future[dict[str, float]]", run: Run, seed: int) -> None:
    figures = future.result()
    print(f"{run.key} seed {seed}: {figures['violations, all']:.2%} violations", flush=True)
    store.put(_key(run, seed), run.settings, figures)


def simulate_run(run: Run, seed: int) -> dict[str, float]:
    """Simulate one run and return its figures by name, such as `violations, class Q1`."""
    requests = _requests(run, seed)
    with ExitStack() as stack:
        if run.length_error != 1.0:
            stack.enter_context(patch.object(OutputLengthHistory, "expected", _misjudged(run.length_error)))
        if run.in_tiers:
            stack.enter_context(patch.object(HintedRelegation, "relegates", _in_tiers))
        result = simulate(replace(run.cluster, seed=seed), requests)
    measured = run_figures(result.outcomes, class_names=list(run.cluster.classes.by_name))
    figures = {f"{measure}, {group}": value for measure, groups in measured.items() for group, value in groups.items()}
    point = measure_point(result.outcomes)
    return {
        **figures,
        "violations, worst class": point.worst_violations,
        "late_tokens, worst class": point.late_tokens,
        "backlog growth": point.backlog_growth,
        "completed a second": len(result.outcomes) / result.seconds,
        "iterations": float(result.num_iterations),
        "mean chunk": result.mean_chunk_tokens or 0.0,
        "moved": float(np.mean([outcome.num_moves > 0 for outcome in result.outcomes])),
    }


def _requests(run: Run, seed: int) -> Sequence[WorkloadRequest]:
    """Return the run's requests; of long ones, as many at the same rate."""
    if not run.only_long:
        requests = generate_seeded(run.traffic, run.cluster.classes, seed=seed)
        return in_bursts(requests, run.correlation, seed=seed) if run.correlation else requests
    drawn = generate_seeded(replace(run.traffic, num_requests=20_000), run.cluster.classes, seed=seed)
    more = len(drawn) / sum(one.num_prompt_tokens > LONG_PROMPT_TOKENS for one in drawn)
    denser = replace(
        run.traffic, qps=(run.traffic.qps or 1.0) * more, num_requests=round((run.traffic.num_requests or 0) * more)
    )
    requests = generate_seeded(denser, run.cluster.classes, seed=seed)
    return [one for one in requests if one.num_prompt_tokens > LONG_PROMPT_TOKENS]


def in_bursts(requests: Sequence[WorkloadRequest], correlation: float, *, seed: int) -> Sequence[WorkloadRequest]:
    """Return the same arrivals and the same lengths, so ordered that long prompts follow long ones.

    Lengths are dealt out by the ranks of a Gaussian process in which each value is `correlation` of the one before.
    """
    rng = np.random.default_rng(seed)
    levels = [0.0]
    for step in rng.standard_normal(len(requests)).tolist():
        levels.append(correlation * levels[-1] + step)
    sizes = sorted((one.num_prompt_tokens, one.num_output_tokens) for one in requests)
    ranks = np.argsort(np.argsort(levels[1:])).tolist()
    return [
        replace(one, num_prompt_tokens=sizes[rank][0], num_output_tokens=sizes[rank][1])
        for one, rank in zip(requests, ranks, strict=True)
    ]


def _in_tiers(self: HintedRelegation, live: LiveRequest, outlook: Outlook) -> bool:
    """Return whether a request will miss, or any important one waits that it is not."""
    others = outlook.important_demand.margin(outlook.now, outlook.prefill_rate)
    return outlook.gives_way(live) or (not live.is_important and others != math.inf)


def _misjudged(factor: float) -> Callable[[OutputLengthHistory, str, int], int]:
    honest = OutputLengthHistory.expected

    def expected(self: OutputLengthHistory, app: str, cap: int) -> int:
        return max(1, min(cap, round(factor * honest(self, app, cap))))

    return expected
