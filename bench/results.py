"""The published tables, computed again: goodput of each policy on each workload, by both rules.

    python bench/results.py
    python bench/results.py --workload azure-code-2024 --policy qoserve --seeds 5 --jobs 4
    python bench/results.py --quick --output /tmp/results

Writes `goodput.json` and `goodput.md` after every simulation, and goes on where it was ended: points that the JSON has
are not simulated again, as long as the settings and the sources of core and simulator are the same. What has not been
computed is said to be missing. At full length a simulation takes 6 to 20 s, a policy on a workload about a dozen of
them a seed.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from niyama_core.policies import POLICIES
from niyama_core.profiles import PROFILES
from niyama_core.slo import Batch, Interactive, QosClass, QosClasses
from niyama_eval.arrivals import Poisson
from niyama_eval.goodput import Point, run_length
from niyama_eval.goodput_search import SearchError
from niyama_eval.results import versions
from niyama_eval.settings import WorkloadSettings
from niyama_sim.goodput import Asked, Goodput, GoodputSettings, find_goodput
from niyama_sim.settings import SimulationSettings

ROOT = Path(__file__).parents[1]
PROFILE = "a100-llama3-8b-published"
NOISE = 0.05
RESOLUTION = 0.01
QUICK_RESOLUTION = 0.05
QUICK_SHARE = 20
RULES = ("published", "strict")

WORKLOADS: Mapping[str, str] = MappingProxyType(
    {"azure-code-2024": "Azure Code", "sharegpt": "ShareGPT", "azure-conv-2024": "Azure Conv"}
)
ORDER = ("qoserve", "niyama", "sarathi-edf", "sarathi-fcfs", "sarathi-srpf", "sarathi-sjf")
PUBLISHED: Mapping[tuple[str, str], float] = MappingProxyType(
    {
        ("azure-code-2024", "sarathi-fcfs"): 1.5,
        ("azure-code-2024", "sarathi-edf"): 2.6,
        ("azure-code-2024", "qoserve"): 3.8,
        ("azure-conv-2024", "sarathi-fcfs"): 2.8,
        ("azure-conv-2024", "sarathi-edf"): 3.5,
        ("azure-conv-2024", "qoserve"): 4.3,
        ("sharegpt", "sarathi-fcfs"): 1.4,
        ("sharegpt", "sarathi-edf"): 1.8,
        ("sharegpt", "qoserve"): 2.1,
    }
)
# Where searches begin for what is not published; a search that begins far off takes longer, and ends the same.
GUESS: Mapping[str, str] = MappingProxyType(
    {"niyama": "qoserve", "sarathi-srpf": "sarathi-edf", "sarathi-sjf": "sarathi-edf"}
)


def classes(workload: str) -> QosClasses:
    """Return the published classes, all important; answers of ShareGPT are promised 55 ms a token."""
    three = (
        QosClass("Q1", Interactive(ttft=6.0, tbt=0.055 if workload == "sharegpt" else 0.05)),
        QosClass("Q2", Batch(ttlt=600.0)),
        QosClass("Q3", Batch(ttlt=1800.0)),
    )
    return QosClasses({one.name: one for one in three}, default="Q1")


def digest() -> str:
    """Return what tells the sources that a simulation runs from any others: all that it loads of core and simulator.

    A fresh interpreter is asked, because this one may have loaded more.
    """
    asked = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    told = hashlib.sha256()
    for path in sorted(map(Path, asked.stdout.splitlines()), key=lambda path: path.parts[-2:]):
        told.update(path.read_bytes())
    return told.hexdigest()[:12]


_LOADED = """
import sys, niyama_sim.cluster
for name, module in sys.modules.items():
    if name.startswith(("niyama_core", "niyama_sim")):
        print(module.__file__)
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of the table."""

    workload: str
    policy: str
    rule: str


class Document:
    """`goodput.json`, read at the start, written after every simulation, and told as `goodput.md`.

    Args:
        folder: where both lie.
        facts: what every figure depends on. Figures that depended on something else are kept until they are computed
            again, and marked in the table; their points are not used.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Read what there is."""
        self._folder = folder
        self._facts = dict(facts)
        path = folder / "goodput.json"
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"cells": [], "points": []}
        self._cells: list[dict[str, Any]] = before["cells"]
        self._points = [point for point in before["points"] if before.get("facts") == self._facts]

    def known(self, workload: str) -> dict[Asked, Point]:
        """Return the points of a workload that need no simulation."""
        return {
            Asked(one["policy"], one["seed"], one["qps"]): Point(
                one["violations"], one["late_tokens"], one["backlog_growth"]
            )
            for one in self._points
            if one["workload"] == workload
        }

    def has(self, cell: Cell, seeds: Sequence[int]) -> bool:
        """Tell whether a figure is there that these facts and at least these seeds gave."""
        return any(
            _is_cell(one, cell) and one["facts"] == self._facts and set(seeds) <= set(one["seeds"])
            for one in self._cells
        )

    def add_point(self, workload: str, asked: Asked, point: Point) -> None:
        """Keep a point."""
        place = {"workload": workload, "policy": asked.policy, "seed": asked.seed, "qps": asked.qps}
        self._points.append({**place, **point.to_json()})
        self.write()

    def add_cell(self, cell: Cell, seeds: Sequence[int], found: Goodput | SearchError) -> None:
        """Keep a figure in place of the one before."""
        self._cells = [one for one in self._cells if not _is_cell(one, cell)]
        self._cells.append(
            {
                "workload": cell.workload,
                "policy": cell.policy,
                "rule": cell.rule,
                "published_qps": PUBLISHED.get((cell.workload, cell.policy)),
                "seeds": list(seeds),
                **_figures(found),
                "facts": self._facts,
            }
        )
        self.write()

    def write(self) -> None:
        """Write both files."""
        self._folder.mkdir(parents=True, exist_ok=True)
        document = {"facts": self._facts, "cells": self._cells, "points": self._points}
        (self._folder / "goodput.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (self._folder / "goodput.md").write_text(page(self._cells, self._facts), encoding="utf-8")


def _is_cell(one: Mapping[str, Any], cell: Cell) -> bool:
    return (one["workload"], one["policy"], one["rule"]) == (cell.workload, cell.policy, cell.rule)


def _figures(found: Goodput | SearchError) -> dict[str, Any]:
    if isinstance(found, SearchError):
        return {"goodput_qps": None, "ci": None, "by_seed": {}, "limits": {}, "problem": str(found)}
    return {
        "goodput_qps": round(found.interval.mean, 4),
        "ci": found.interval.ci,
        "by_seed": {str(seed): qps for seed, qps in found.by_seed.items()},
        "limits": {str(seed): list(reasons) for seed, reasons in found.limits.items()},
        "problem": None,
    }


def page(cells: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """Return the table as Markdown."""
    by_key = {(one["workload"], one["policy"], one["rule"]): one for one in cells}
    head = ["workload", "policy", "published", "ours, published rule", "deviation", "ours, strict rule", "strict limit"]
    lines = [
        _LEAD.format(**{**facts, "num_requests": _lengths(facts["num_requests"])}),
        "",
        _row(head),
        _row(["---"] * len(head)),
    ]
    for workload, title in WORKLOADS.items():
        for policy in ORDER:
            ours, strict = (by_key.get((workload, policy, rule)) for rule in RULES)
            paper = PUBLISHED.get((workload, policy))
            lines.append(
                _row(
                    [
                        title,
                        f"`{policy}`",
                        "–" if paper is None else f"{paper:g}",
                        _cell(ours, facts),
                        _deviation(ours, paper),
                        _cell(strict, facts),
                        _limit(strict),
                    ]
                )
            )
    return "\n".join([*lines, ""])


def _lengths(num_requests: Mapping[str, int]) -> str:
    return ", ".join(f"{num:,} ({WORKLOADS[name]})" for name, num in num_requests.items())


_LEAD = """# Goodput of one replica

Highest requests per second with at most 1 % violations in every class; [what the rules are](../goodput.md). Llama-3-8B
on one A100-80GB by the profile `{profile}`, iterations with {noise:.0%} of seeded noise, rates {resolution:.0%} apart.
Requests a run: {num_requests}.

In brackets the 95 % confidence interval of Student's t over the seeds, which is wide where they are few. *missing* has
not been computed; † was computed with other settings or sources, and waits to be computed again. The strict limit is
why the next rate fails, of the first seed. Every simulated point is in `goodput.json`.

Made by `make results`; sources {sources}."""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(one: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> str:
    if one is None:
        return "*missing*"
    mark = "" if one["facts"] == facts else " †"
    if one["goodput_qps"] is None:
        return f"none{mark}"
    seeds = "1 seed" if len(one["seeds"]) == 1 else f"{len(one['seeds'])} seeds"
    spread = f" [{one['ci'][0]:.2f}, {one['ci'][1]:.2f}]" if one["ci"] else ""
    return f"{one['goodput_qps']:.2f}{spread}, {seeds}{mark}"


def _deviation(one: Mapping[str, Any] | None, paper: float | None) -> str:
    if one is None or paper is None or one["goodput_qps"] is None:
        return "–"
    return f"{one['goodput_qps'] / paper - 1:+.1%}".replace("%", " %")


def _limit(one: Mapping[str, Any] | None) -> str:
    """Return why the next rate fails, of the first seed."""
    if one is None:
        return "–"
    return "; ".join(next(iter(one["limits"].values()), ())) or one["problem"] or "–"


def settings_for(workload: str, facts: Mapping[str, Any], seeds: Sequence[int]) -> GoodputSettings:
    """Return the published setting of a workload."""
    cluster = SimulationSettings(
        profile=PROFILES[facts["profile"]], classes=classes(workload), noise=facts["noise"], num_replicas=1
    )
    asked = WorkloadSettings(
        workloads=(workload,),
        arrivals=Poisson(gap_cap=8.0),
        qps=1.0,
        num_requests=facts["num_requests"][workload],
        context_tokens=cluster.profile.context_tokens,
    )
    return GoodputSettings(cluster=cluster, workload=asked, seeds=tuple(seeds), resolution=facts["resolution"])


def compute(document: Document, cell: Cell, settings: GoodputSettings, *, jobs: int) -> None:
    """Compute one figure, unless it is there."""
    if document.has(cell, settings.seeds):
        print(f"{cell.workload} {cell.policy} {cell.rule}: is there", flush=True)
        return

    def tell(asked: Asked, point: Point) -> None:
        print(
            f"{cell.workload} {cell.policy} seed {asked.seed} at {asked.qps}: {point.worst_violations:.2%} violations, "
            f"{point.late_tokens:.3%} late tokens, backlog {point.backlog_growth:+.2%}",
            flush=True,
        )
        document.add_point(cell.workload, asked, point)

    guess = PUBLISHED[cell.workload, GUESS.get(cell.policy, cell.policy)]
    found: Goodput | SearchError
    try:
        found = find_goodput(
            replace(settings, rule=cell.rule),
            [cell.policy],
            jobs=jobs,
            known=document.known(cell.workload),
            on_point=tell,
            estimate=guess,
        )[cell.policy]
    except SearchError as error:
        found = error
    document.add_cell(cell, settings.seeds, found)


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="all when left out")
    parser.add_argument("--policy", action="append", choices=POLICIES, help="all when left out")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 1 on; 3 when left out; a search each")
    parser.add_argument("--jobs", type=int, default=1, help="simulations at a time")
    parser.add_argument("--quick", action="store_true", help="short runs: shows that it works, and flatters everyone")
    parser.add_argument("--output", type=Path, help="docs/results, or out/results of quick runs, when left out")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute the cells that were asked for, the most telling first."""
    asked = options(arguments)
    share = QUICK_SHARE if asked.quick else 1
    facts = {
        "profile": PROFILE,
        "noise": NOISE,
        "resolution": QUICK_RESOLUTION if asked.quick else RESOLUTION,
        "num_requests": {name: run_length([name]) // share for name in WORKLOADS},
        "arrivals": "poisson, gaps capped at 8 means",
        "classes": "Q1 6 s, 50 ms (sharegpt 55 ms); Q2 600 s; Q3 1800 s; equal shares, all important",
        "sources": digest(),
        "versions": versions(),
    }
    folder = asked.output or ROOT / ("out/results" if asked.quick else "docs/results")
    document = Document(folder, facts)
    seeds = list(range(1, asked.seeds + 1))
    policies = [policy for policy in ORDER if policy in (asked.policy or ORDER)]
    for some in (policies[:4], policies[4:]):
        for workload in asked.workload or WORKLOADS:
            for policy in some:
                for rule in RULES:
                    compute(
                        document, Cell(workload, policy, rule), settings_for(workload, facts, seeds), jobs=asked.jobs
                    )
    document.write()


if __name__ == "__main__":
    main()
