"""What `niyama capacity` found, as a table with words, as curves, and as JSON."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from niyama_core.slo import Batch
from niyama_core.units import format_duration
from niyama_eval.goodput import RULES, Point
from niyama_eval.planning_plots import Curve
from niyama_eval.requirement import Requirement, best_splits
from niyama_eval.results import versions
from niyama_eval.tables import format_share
from niyama_eval.workloads import WorkloadRequest
from niyama_sim.capacity import CapacitySettings
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from niyama_cli.sim_run import workload_facts

__all__ = ["HOURS_A_MONTH", "Offer", "Prices", "Report", "curves", "document", "print_report"]

HOURS_A_MONTH = 730
"""A twelfth of a year."""

# Fewer misses than this at the limit, and a share of them is mostly chance.
_FEW_MISSES = 5
# One standard deviation of the slope of the backlog by chance, in a run of so many requests (docs/goodput.md).
_SLOPE_NOISE, _SLOPE_REQUESTS = 0.01, 39_000


@dataclass(frozen=True, slots=True)
class Offer:
    """A way to serve, and what its pools require by class; one that all classes share is a single pool, unnamed."""

    name: str
    pools: Mapping[str, Requirement]

    @property
    def num_replicas(self) -> int | None:
        """The fewest replicas of all pools; None when a pool cannot keep its promise."""
        numbers = [pool.num_replicas for pool in self.pools.values()]
        return None if None in numbers else sum(number or 0 for number in numbers)

    @property
    def violations(self) -> Mapping[str, float]:
        """The violations of each class with the fewest replicas."""
        needs = [(pool, pool.num_replicas) for pool in self.pools.values()]
        return {n: v for pool, num in needs if num for n, v in pool.mean(num).violations.items()}

    @property
    def curve(self) -> Curve:
        """The violations of each class by number of replicas, those of silos with the best split."""
        if set(self.pools) == {""}:
            return self.pools[""].curve
        last = self.num_replicas
        splits = best_splits(self.pools).items()
        return [(num, split.violations) for num, split in splits if last is None or num <= last + 1]

    def confidence(self) -> Iterator[str]:
        """Yield in words how firm the number is, of each pool."""
        for name, pool in self.pools.items():
            yield f"{name}: {pool.confidence()}" if name else pool.confidence()


@dataclass(frozen=True, slots=True)
class Prices:
    """What a GPU costs an hour, and how many a replica has."""

    gpu_hour: float
    gpus_per_replica: int

    def month(self, num_replicas: int) -> float:
        """Return what so many replicas cost a month."""
        return num_replicas * self.gpus_per_replica * HOURS_A_MONTH * self.gpu_hour


@dataclass(frozen=True, slots=True)
class Report:
    """What was asked, what was found, ours first, the requests of one seed, and prices."""

    settings: CapacitySettings
    offers: Sequence[Offer]
    requests: Sequence[WorkloadRequest]
    prices: Prices

    @property
    def class_names(self) -> Sequence[str]:
        """The classes in the order of the manifest."""
        return list(self.settings.cluster.classes.by_name)


def curves(report: Report) -> Mapping[str, Curve]:
    """Return the curve of every offer by its name."""
    return {offer.name: offer.curve for offer in report.offers}


def print_report(report: Report, console: Console) -> None:
    """Print the table of what is needed, the curve, and what to know of both."""
    seconds, qps = _extent(report)
    measure = report.settings.measure
    console.print(
        f"{qps:.3g} requests/s over {format_duration(seconds)} on replicas of {report.settings.cluster.profile.name}; "
        f"of every class at most {100 * measure.max_violations:.3g} % late, rule {measure.rule}"
    )
    console.print(_table(report))
    console.print(_curve_table(report))
    for note in [*_savings(report), *_limits(report), *_notes(report)]:
        grid = Table.grid(padding=(0, 1))
        grid.add_row("-", note)
        console.print(Padding(grid, (0, 0, 0, 1)))


def document(report: Report) -> Mapping[str, object]:
    """Return the report as JSON has it."""
    settings = report.settings
    seconds, qps = _extent(report)
    facts = {
        name: fact for name, fact in workload_facts(settings.workload, settings.cluster).items() if name != "replicas"
    }
    return {
        "num_replicas": report.offers[0].num_replicas,
        "rule": settings.measure.rule,
        "max_violations": settings.measure.max_violations,
        "seeds": list(settings.seeds),
        **facts,
        "requests": len(report.requests),
        "seconds": seconds,
        "qps": qps,
        "gpus_per_replica": report.prices.gpus_per_replica,
        "gpu_hour_cost": report.prices.gpu_hour,
        "offers": {offer.name: _offer_document(offer, report.prices) for offer in report.offers},
        "savings": list(_savings(report)),
        "limits": list(_limits(report)),
        "notes": list(_notes(report)),
        "versions": versions(),
    }


def _offer_document(offer: Offer, prices: Prices) -> dict[str, Any]:
    num = offer.num_replicas
    return {
        "num_replicas": num,
        "split": {name: pool.num_replicas for name, pool in offer.pools.items() if name} or None,
        "cost_a_month": None if num is None else prices.month(num),
        "violations": offer.violations,
        "confidence": list(offer.confidence()),
        "curve": [{"replicas": at, "violations": dict(shares)} for at, shares in offer.curve],
        "points": [
            {"pool": name or None, "replicas": at, "seed": seed, **point.to_json()}
            for name, pool in offer.pools.items()
            for at, by_seed in sorted(pool.points.items())
            for seed, point in sorted(by_seed.items())
        ],
    }


def _table(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for label in ("", "replicas", "GPUs", "a month", "worst class"):
        table.add_column(label, justify="left" if not label else "right")
    table.add_column("how firm")
    for offer in report.offers:
        table.add_row(offer.name, *_cells(offer, report.prices), "\n".join(offer.confidence()))
    return table


def _cells(offer: Offer, prices: Prices) -> tuple[str, ...]:
    num = offer.num_replicas
    if num is None:
        return "none", "–", "–", "–"
    split = "-".join(str(pool.num_replicas) for pool in offer.pools.values())
    shown = f"{num} ({split})" if len(offer.pools) > 1 else str(num)
    worst = max(offer.violations.values(), default=0.0)
    return shown, str(num * prices.gpus_per_replica), f"{prices.month(num):,.0f}", format_share(worst)


def _curve_table(report: Report) -> Table:
    """Return the violations by number of replicas, those of the worst class where there are several."""
    by_offer = {offer.name: dict(offer.curve) for offer in report.offers}
    totals = sorted({num for curve in by_offer.values() for num in curve})
    classes = [
        name for name in report.settings.cluster.classes.by_name if any(_has(c, name) for c in by_offer.values())
    ]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="violations by class", title_justify="left")
    table.add_column("replicas", justify="right")
    for offer in by_offer:
        table.add_column(f"{offer}\n{' / '.join(classes)}", justify="right")
    for num in totals:
        cells = (_shares(curve.get(num), classes) for curve in by_offer.values())
        table.add_row(str(num), *cells)
    return table


def _has(curve: Mapping[int, Mapping[str, float]], name: str) -> bool:
    return any(name in shares for shares in curve.values())


def _shares(shares: Mapping[str, float] | None, classes: Sequence[str]) -> str:
    return " / ".join(format_share(shares.get(name)) for name in classes) if shares is not None else ""


def _savings(report: Report) -> Iterator[str]:
    """Yield what ours saves next to each other offer."""
    ours = report.offers[0].num_replicas
    for other in report.offers[1:]:
        theirs = other.num_replicas
        if ours is None:
            return
        if theirs is None:
            yield f"{other.name}: no number of replicas up to {report.settings.most} keeps every promise."
            continue
        saved = report.prices.month(theirs - ours)
        share = (theirs - ours) / theirs
        if saved > 0:
            yield f"Next to {other.name}, {_count(theirs - ours)} fewer ({share:.0%}): {saved:,.0f} a month saved."
        elif theirs == ours:
            yield f"Next to {other.name}, as many replicas: nothing saved on this traffic."
        else:
            yield f"Next to {other.name}, {_count(ours - theirs)} more: {-saved:,.0f} a month."


def _count(num_replicas: int) -> str:
    return "1 replica" if num_replicas == 1 else f"{num_replicas} replicas"


def _limits(report: Report) -> Iterator[str]:
    """Yield why each offer would not do with one replica fewer."""
    for offer in report.offers:
        for name, pool in offer.pools.items():
            num = pool.num_replicas
            if num is not None and num - 1 in pool.points:
                reasons = "; ".join(pool.measure.failures(pool.mean(num - 1)))
                yield f"{offer.name}{f', {name}' if name else ''}, with {num - 1}: {reasons}."


def _notes(report: Report) -> Iterator[str]:
    """Yield what a planner must know to trust the numbers, or not to."""
    if len(report.offers) > 1 and len({request.promise.qos_class for request in report.requests}) == 1:
        yield "Only one class has requests: silos would be fcfs, shared."
    yield from _length_notes(report)
    ours = report.offers[0].pools[""]
    if ours.num_replicas is not None and report.settings.measure.rule != "strict":
        reasons = _stricter(ours.mean(ours.num_replicas), num_requests=len(report.requests))
        if reasons:
            yield f"By --rule strict {ours.num_replicas} would not do: {'; '.join(reasons)}."
    if ours.num_replicas is not None:
        yield "No replica is kept in reserve: add what may fail, or be restarted, at a time."


def _stricter(point: Point, *, num_requests: int) -> tuple[str, ...]:
    """Return what the strict rule has against a point, growth of the backlog only where chance does not explain it."""
    growth = point.backlog_growth if point.backlog_growth > 2 * _slope_noise(num_requests) else 0.0
    return RULES["strict"](replace(point, violations={}, backlog_growth=growth))


def _slope_noise(num_requests: int) -> float:
    """Return one standard deviation of the growth of the backlog by chance, in a run of so many requests."""
    return _SLOPE_NOISE * math.sqrt(_SLOPE_REQUESTS / num_requests)


def _length_notes(report: Report) -> Iterator[str]:
    seconds, _ = _extent(report)
    counts: dict[str, int] = {}
    for request in report.requests:
        counts[request.promise.qos_class] = counts.get(request.promise.qos_class, 0) + 1
    few = [n for n, num in counts.items() if num * report.settings.measure.max_violations < _FEW_MISSES]
    if few:
        yield (
            f"Few requests of {', '.join(few)}: the share that may be late is fewer than {_FEW_MISSES} of them, so "
            "chance decides. Take a longer trace, or more seeds."
        )
    if report.settings.measure.rule == "strict":
        noise = _slope_noise(len(report.requests))
        if noise > 2 * _SLOPE_NOISE:
            yield (
                f"In a run of {len(report.requests):,} requests the backlog grows or shrinks by about {noise:.0%} of "
                "the work by chance: take a longer one, or more seeds, before trusting the strict rule."
            )
        return
    slos = [qos_class.slo for qos_class in report.settings.cluster.classes if qos_class.name in counts]
    ttlt = max((slo.ttlt for slo in slos if isinstance(slo, Batch)), default=0.0)
    if seconds < 4 * ttlt:
        yield (
            f"Arrivals last {format_duration(seconds)}, and a class has {format_duration(ttlt)} of time: it can hide a "
            "backlog that grows. --rule strict looks at the backlog, or give a longer run."
        )


def _extent(report: Report) -> tuple[float, float]:
    """Return the seconds from the first arrival to the last, and the requests a second."""
    seconds = report.requests[-1].arrival - report.requests[0].arrival
    return seconds, len(report.requests) / seconds if seconds > 0 else float(len(report.requests))
