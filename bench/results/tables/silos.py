"""The headline: GPUs that 50 requests a second need, in silos of one class each and shared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from niyama_core.policies import SchedulerSettings
from niyama_eval.goodput import run_length

from bench.results.page import LEGEND, MISSING, rows, wrapped
from bench.results.searches import Line, SearchTable
from bench.results.setting import TITLES, Extent, cluster, traffic
from bench.results.store import Store
from bench.results.tables.goodput import goodput

__all__ = ["Headlines", "headlines"]

_QPS = 50.0
# Of each class: its share of the traffic, and the tokens of an iteration of its silo.
_SILOS = (("Q1", (1.0, 0.0, 0.0), 256), ("Q2", (0.0, 1.0, 0.0), 2048), ("Q3", (0.0, 0.0, 1.0), 2048))
_SHARED = ("qoserve", "niyama")

_LEAD = """# Headlines: silos or shared

How many GPUs {qps:.0f} requests a second need, computed from what one replica carries by either rule, a third
of the requests in each class: in silos each class has replicas of its own, first come, first served, with 256 tokens
an iteration for Q1 and 2,048 for Q2 and Q3; shared replicas serve all. Published are 13 to 32 % fewer GPUs by
workload. The other published headline, 13 GPUs to 10 at 35 requests a second, which is 30 % more capacity a GPU, is
[simulated as a cluster](cluster.md).

{legend} Made by `make results`."""


@dataclass(frozen=True, slots=True)
class Headlines:
    """GPUs by silo and shared.

    Attributes:
        silos: goodput of a replica that serves one class.
        shared: goodput of a replica that serves all, which is computed as a table of its own.
    """

    silos: SearchTable
    shared: SearchTable
    name: str = "headlines"

    def compute(self, store: Store, *, jobs: int) -> None:
        """Compute what silos carry."""
        self.silos.compute(store, jobs=jobs)

    def page(self, store: Store) -> str:
        """Return the page in Markdown."""
        head = ["workload", "rule", "GPUs in silos (Q1 + Q2 + Q3)"]
        for policy in _SHARED:
            head += [f"shared, `{policy}`", "fewer GPUs"]
        body = [self._row(store, title, rule) for title in TITLES.values() for rule in self.silos.rules]
        lead = wrapped(_LEAD.format(qps=_QPS, legend=LEGEND))
        return f"{lead}\n\n{rows(head, body)}\n\n## What one replica of a silo carries\n{self.silos.page(store)}"

    def _row(self, store: Store, title: str, rule: str) -> Sequence[str]:
        carried = [self.silos.goodput(store, line, rule) for line in self.silos.lines if line.labels[0] == title]
        if None in carried:
            return [title, rule, MISSING, *["–"] * (2 * len(_SHARED))]
        needs = [ceil(_QPS / len(carried) / qps) for qps in carried if qps]
        cells = [title, rule, f"{sum(needs)} ({' + '.join(map(str, needs))})"]
        for policy in _SHARED:
            qps = self._shared(store, title, policy, rule)
            gpus = ceil(_QPS / qps) if qps else None
            cells += [MISSING, "–"] if gpus is None else [str(gpus), f"{100 * (1 - gpus / sum(needs)):.0f} %"]
        return cells

    def _shared(self, store: Store, title: str, policy: str, rule: str) -> float | None:
        beside = Store(store.path.with_name(f"{self.shared.name}.json"), store.versions)
        line = next(line for line in self.shared.lines if line.labels == (title, f"`{policy}`"))
        return self.shared.goodput(beside, line, rule)

    def draw(self, store: Store, folder: Path) -> None:
        """Draw nothing: two numbers need no picture."""


def headlines(extent: Extent) -> Headlines:
    """Return the table."""
    lines = [
        Line(
            labels=(title, name),
            cluster=replace(cluster(workload), scheduler=SchedulerSettings("sarathi-fcfs", token_budget=budget)),
            traffic=traffic(workload, num_requests=extent.requests(run_length([workload])), mix=mix),
            guess={"azure-code-2024": 2.5, "azure-conv-2024": 3.5, "sharegpt": 1.7}[workload],
        )
        for workload, title in TITLES.items()
        for name, mix, budget in _SILOS
    ]
    silos = SearchTable(
        name="silos",
        lead="",
        head=("workload", "class"),
        lines=lines,
        seeds=extent.seeds(1),
        resolution=max(extent.resolution, 0.02),
    )
    return Headlines(silos, goodput(extent))
