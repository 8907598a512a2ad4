"""35 requests a second of Azure Code: on 13 GPUs in silos, on 10 in silos, shared on 10, and on 9."""

from dataclasses import replace

from niyama_core.policies import SchedulerSettings
from niyama_sim.settings import SimulationSettings, silo_pools

from bench.results.page import LEGEND
from bench.results.runs import Column, Run, RunTable
from bench.results.setting import Extent, cluster, published_classes, traffic

__all__ = ["cluster35"]

_CODE = "azure-code-2024"

_LEAD = """# A cluster under 35 requests a second

Azure Code, {num:,} requests in all. Silos are pools of one class each, first come, first served, 256 tokens an
iteration for Q1 and 2,048 for Q2 and Q3; everywhere requests go to replicas in turn, as published, but for placement
`niyama`. 9 GPUs are the fewest that the [limit](../limits.md) allows: 35 / 3.96 is 8.8.

{legend} Made by `make results`."""


def _silos(*num_replicas: int) -> SimulationSettings:
    base = cluster(_CODE, placement="round-robin")
    return base.in_pools(silo_pools(published_classes(), num_replicas))


def _shared(policy: str, *, replicas: int, placement: str) -> SimulationSettings:
    return replace(cluster(_CODE, replicas=replicas, placement=placement), scheduler=SchedulerSettings(policy))


def cluster35(extent: Extent) -> RunTable:
    """Return the table."""
    num = extent.requests(360_000)
    clusters: list[tuple[tuple[str, str], SimulationSettings, tuple[str, str, str, str] | None]] = [
        (("13", "silos of 7, 3, 3"), _silos(7, 3, 3), ("3.09 s", "172.8 s", "171.1 s", "0.24 %")),
        (("10", "silos of 6, 2, 2"), _silos(6, 2, 2), ("11.4 s", "4,682 s", "4,678 s", "60.4 %")),
        (
            ("10", "`qoserve`, in turn"),
            _shared("qoserve", replicas=10, placement="round-robin"),
            ("3.38 s", "55.8 s", "204.6 s", "0 %"),
        ),
        (("10", "`niyama`, in turn"), _shared("niyama", replicas=10, placement="round-robin"), None),
        (("10", "`niyama`, placement `niyama`"), _shared("niyama", replicas=10, placement="niyama"), None),
        (("9", "`qoserve`, in turn"), _shared("qoserve", replicas=9, placement="round-robin"), None),
        (("9", "`niyama`, placement `niyama`"), _shared("niyama", replicas=9, placement="niyama"), None),
    ]
    titles = ("Q1 TTFT p99", "Q2 TTLT p99", "Q3 TTLT p99", "violations")
    return RunTable(
        name="cluster",
        lead=_LEAD.format(num=num, legend=LEGEND),
        head=("GPUs", "cluster"),
        columns=(
            Column("Q1 TTFT p99", "p99_s, class Q1", "seconds"),
            Column("Q2 TTLT p99", "p99_s, class Q2", "seconds"),
            Column("Q3 TTLT p99", "p99_s, class Q3", "seconds"),
            Column("violations", "violations, all"),
            Column("worst class", "violations, worst class"),
            Column("late tokens", "late_tokens, worst class"),
            Column("backlog grows by", "backlog growth"),
        ),
        runs=[
            Run(
                labels=labels,
                cluster=one,
                traffic=traffic(_CODE, qps=35.0, num_requests=num),
                published=dict(zip(titles, paper, strict=True)) if paper else {},
            )
            for labels, one, paper in clusters
        ],
        seeds=extent.seeds(1),
    )
