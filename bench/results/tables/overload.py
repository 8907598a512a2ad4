"""From idle to half as much again as a replica can serve: who is late, and by how much."""

from dataclasses import replace

from niyama_core.policies import SchedulerSettings
from niyama_sim.settings import RateLimit, SimulationSettings

from bench.results.page import LEGEND
from bench.results.runs import Column, Run, RunTable, Sweep
from bench.results.setting import Extent, cluster, traffic

__all__ = ["overload", "overload_floor"]

_CODE = "azure-code-2024"
_RATES = (2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
# What EDF carries, and a minute's burst of it.
_DOOR = RateLimit(qps=2.75, burst=60.0)

_VIOLATIONS = Column("violations", "violations, all")

_LEAD = """# Overload: from 2 to 6 requests a second

One replica under Azure Code; {num:,} requests a run ({fewer:,} at 2.5 a second), as published. *long* are prompts over
6,200 tokens. The rate limit is a token bucket at the door that lets in what EDF can carry (2.75 a second, bursts of
60) and refuses the rest, whoever it is. Times are of the requests that were served. The published curves cannot be
read off; in words they are ten times fewer violations than the baselines, and over 95 % on time at 50 % overload.

{legend} Made by `make results`."""

_FLOOR_LEAD = """# Overload beside the floor

One replica under 6 requests a second of Azure Code. At least {floors} of {num:,} requests are late whatever the policy,
bounds without, with "long prompts miss at most twice as often as all", and with "no length misses more than twice as
often" ([how they are derived](../limits.md)); the floors do not know when requests arrive, nor of token deadlines.
`fairness: 2` is the documented setting of `niyama` that bounds how unfair it is to long prompts.

{legend} Made by `make results`."""


def _contenders() -> list[tuple[str, SimulationSettings]]:
    base = cluster(_CODE)
    return [
        ("`sarathi-fcfs`", base.with_policy("sarathi-fcfs")),
        ("`sarathi-edf`", base.with_policy("sarathi-edf")),
        ("`sarathi-edf`, rate limit", replace(base.with_policy("sarathi-edf"), rate_limit=_DOOR)),
        ("`qoserve`", base.with_policy("qoserve")),
        ("`niyama`", base),
        ("`niyama`, fairness 2", replace(base, scheduler=SchedulerSettings("niyama", fairness=2.0))),
    ]


def overload(extent: Extent) -> RunTable:
    """Return the sweep."""
    return RunTable(
        name="overload",
        lead=_LEAD.format(num=extent.requests(75_000), fewer=extent.requests(50_000), legend=LEGEND),
        head=("policy", "requests a second"),
        columns=(
            _VIOLATIONS,
            Column("long", "violations, long prompts"),
            Column("short", "violations, short prompts"),
            Column("late tokens", "late_tokens, worst class"),
            Column("Q1 TTFT p50", "p50_s, class Q1", "seconds"),
            Column("p99", "p99_s, class Q1", "seconds"),
            Column("Q2 TTLT p50", "p50_s, class Q2", "seconds"),
            Column("p99 ", "p99_s, class Q2", "seconds"),
            Column("Q3 TTLT p50", "p50_s, class Q3", "seconds"),
            Column("p99  ", "p99_s, class Q3", "seconds"),
        ),
        runs=[
            Run(
                labels=(name, f"{qps:g}"),
                cluster=one,
                traffic=traffic(_CODE, qps=qps, num_requests=extent.requests(50_000 if qps == _RATES[1] else 75_000)),
                x=qps,
            )
            for qps in _RATES
            for name, one in _contenders()
        ],
        seeds=extent.seeds(1),
        sweep=Sweep(_VIOLATIONS, "requests per second", "Violations against load, one replica, Azure Code"),
    )


def overload_floor(extent: Extent) -> RunTable:
    """Return what remains above the floor, in runs twice as long."""
    num = extent.requests(150_000)
    return RunTable(
        name="overload-floor",
        lead=_FLOOR_LEAD.format(floors="10.2 %, 14.0 % or 18.5 %", num=150_000, legend=LEGEND),
        head=("policy",),
        columns=(
            _VIOLATIONS,
            Column("long", "violations, long prompts"),
            Column("short", "violations, short prompts"),
            Column("relegated", "relegated, all"),
            Column("late tokens", "late_tokens, worst class"),
            Column("completed a second", "completed a second", "number"),
        ),
        runs=[
            Run(labels=(name,), cluster=one, traffic=traffic(_CODE, qps=6.0, num_requests=num))
            for name, one in _contenders()[3:]
        ],
        seeds=extent.seeds(2),
    )
