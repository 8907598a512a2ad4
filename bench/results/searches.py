"""Tables of goodput: a search for each line, rule and seed; every simulated point is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from niyama_eval.goodput import Point
from niyama_eval.goodput_search import SearchError
from niyama_eval.plots import save_png
from niyama_eval.settings import WorkloadSettings
from niyama_sim.goodput import Asked, GoodputSettings, find_goodput
from niyama_sim.settings import SimulationSettings

from bench.results.decisions import decisions
from bench.results.page import MISSING, OLD, deviation, interval, rows, seeds_word, wrapped
from bench.results.pictures import bars
from bench.results.store import Found, Store, fingerprint

__all__ = ["Line", "SearchTable"]

BOTH = ("published", "strict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: goodput of a cluster under some traffic.

    Attributes:
        labels: its first cells; together they name it.
        cluster: its scheduler is the policy.
        traffic: whose rate is searched for.
        guess: where searches begin; a guess that is far off takes longer, and ends the same.
        published: the published figure, if there is one.
        limit: the stationary limit, if it is known.
        most_seeds: how many seeds are enough for it.
    """

    labels: tuple[str, ...]
    cluster: SimulationSettings
    traffic: WorkloadSettings
    guess: float
    published: float | None = None
    limit: float | None = None
    most_seeds: int = 99

    @property
    def key(self) -> str:
        """Its name in the JSON."""
        return ", ".join(self.labels)

    @property
    def settings(self) -> str:
        """What tells its settings, and how its policies decide, from any others."""
        return fingerprint(decisions(self.cluster), self.cluster, self.traffic)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTable:
    """Goodput of several clusters.

    Attributes:
        name: of the files.
        lead: the page above the table.
        head: titles of the labels.
        lines: one each.
        seeds: a search each.
        resolution: one step of the rates that are tried.
        rules: which of the two.
    """

    name: str
    lead: str
    head: tuple[str, ...]
    lines: Sequence[Line]
    seeds: Sequence[int]
    resolution: float
    rules: Sequence[str] = BOTH

    def compute(self, store: Store, *, jobs: int) -> None:
        """Compute whatever is not there yet."""
        for line in self.lines:
            for rule in self.rules:
                if self._fresh(store, line, rule) is None:
                    store.put(f"{line.key}: {rule}", line.settings, self._search(store, line, rule, jobs=jobs))

    def _fresh(self, store: Store, line: Line, rule: str) -> Mapping[str, Any] | None:
        value = store.fresh(f"{line.key}: {rule}", line.settings)
        if value is None or value["resolution"] != self.resolution:
            return None
        return value if set(self._seeds(line)) <= set(value["seeds"]) else None

    def _seeds(self, line: Line) -> Sequence[int]:
        return self.seeds[: line.most_seeds]

    def _search(self, store: Store, line: Line, rule: str, *, jobs: int) -> Mapping[str, Any]:
        policy = line.cluster.scheduler.policy

        def keep(asked: Asked, point: Point) -> None:
            print(
                f"{line.key} seed {asked.seed} at {asked.qps}: {point.worst_violations:.2%} violations, "
                f"{point.late_tokens:.3%} late tokens, backlog {point.backlog_growth:+.2%}",
                flush=True,
            )
            known[asked] = point
            store.put(f"{line.key}: points", line.settings, {"points": _written(known)})

        known = _read(policy, store.fresh(f"{line.key}: points", line.settings))
        settings = GoodputSettings(
            cluster=line.cluster, workload=line.traffic, rule=rule, seeds=self._seeds(line), resolution=self.resolution
        )
        try:
            found = find_goodput(
                settings, [policy], jobs=jobs, known=MappingProxyType(dict(known)), on_point=keep, estimate=line.guess
            )
        except SearchError as error:
            return self._value(line, by_seed={}, limits={}, problem=str(error))
        by_seed = {str(seed): qps for seed, qps in found[policy].by_seed.items()}
        limits = {str(seed): list(reasons) for seed, reasons in found[policy].limits.items()}
        return self._value(line, by_seed=by_seed, limits=limits, problem=None)

    def _value(self, line: Line, **found: object) -> Mapping[str, Any]:
        return {"seeds": list(self._seeds(line)), "resolution": self.resolution, **found}

    def goodput(self, store: Store, line: Line, rule: str = "published") -> float | None:
        """Return what was found, old or not; None where nothing was."""
        found = store.find(f"{line.key}: {rule}", line.settings)
        qps = list(found.value["by_seed"].values()) if found else []
        return sum(qps) / len(qps) if qps else None

    def page(self, store: Store) -> str:
        """Return the page in Markdown."""
        has_limits = any(line.limit for line in self.lines)
        head = [*self.head, "published", "ours, published rule", "deviation"]
        if "strict" in self.rules:
            head += ["ours, strict rule", "why the next rate fails"]
        if has_limits:
            head.append("share of the limit")
        body = [self._row(store, line, has_limits=has_limits) for line in self.lines]
        return f"{wrapped(self.lead)}\n\n{rows(head, body)}\n"

    def _row(self, store: Store, line: Line, *, has_limits: bool) -> Sequence[str]:
        found = {rule: store.find(f"{line.key}: {rule}", line.settings) for rule in self.rules}
        ours = self.goodput(store, line)
        cells = [
            *line.labels,
            "–" if line.published is None else f"{line.published:g}",
            _cell(found["published"]),
            "–" if ours is None or line.published is None else deviation(ours, line.published),
        ]
        if "strict" in self.rules:
            cells += [_cell(found["strict"]), _why(found["strict"])]
        if has_limits:
            best = self.goodput(store, line, "strict" if "strict" in self.rules else "published")
            cells.append("–" if best is None or line.limit is None else f"{100 * best / line.limit:.0f} %")
        return cells

    def draw(self, store: Store, folder: Path) -> None:
        """Draw published figures beside ours."""
        series = {"published": [line.published for line in self.lines]}
        for rule in self.rules:
            series[f"ours, {rule} rule"] = [self.goodput(store, line, rule) for line in self.lines]
        names = [", ".join(label.strip("`") for label in line.labels) for line in self.lines]
        save_png(
            bars(names, series, title="Goodput", axis="requests per second and replica"), folder / f"{self.name}.png"
        )


def _written(points: Mapping[Asked, Point]) -> list[Mapping[str, Any]]:
    return [{"seed": asked.seed, "qps": asked.qps, **point.to_json()} for asked, point in points.items()]


def _read(policy: str, value: Mapping[str, Any] | None) -> dict[Asked, Point]:
    return {
        Asked(policy, one["seed"], one["qps"]): Point(one["violations"], one["late_tokens"], one["backlog_growth"])
        for one in (value or {"points": ()})["points"]
    }


def _cell(found: Found | None) -> str:
    if found is None:
        return MISSING
    mark = "" if found.is_fresh else OLD
    qps = list(found.value["by_seed"].values())
    return f"{interval(qps, unit='number')}, {seeds_word(len(qps))}{mark}" if qps else f"none{mark}"


def _why(found: Found | None) -> str:
    """Return why the next rate fails, of the first seed."""
    if found is None:
        return "–"
    return "; ".join(next(iter(found.value["limits"].values()), ())) or found.value["problem"] or "–"
