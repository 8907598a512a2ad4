"""How much a token of work puts a request off: the constant of the published order from EDF to shortest first."""

from dataclasses import replace

from niyama_core.policies import SchedulerSettings

from bench.results.page import LEGEND
from bench.results.runs import Column, Run, RunTable
from bench.results.setting import Extent, cluster, traffic

__all__ = ["alpha"]

_CODE = "azure-code-2024"
_ALPHAS_MS = (0, 1, 2, 4, 8, 16, 32)
_RATES = (3.4, 4.5, 6.0)

_LEAD = """# Alpha: from earliest due to shortest first

One replica under Azure Code, {num:,} requests. `qoserve` puts a request off by alpha for each token of its work: 0 is
EDF, a large alpha shortest first. `niyama` has no such constant; its toll follows how many wait
([ADR 0007](../adr/0007-the-order-follows-the-crowd.md)). No figures are published for this setting.

{legend} Made by `make results`."""


def alpha(extent: Extent) -> RunTable:
    """Return the table."""
    num = extent.requests(30_000)
    schedulers = [
        *((f"`qoserve`, {ms} ms", SchedulerSettings("qoserve", alpha=ms / 1000)) for ms in _ALPHAS_MS),
        ("`niyama`", SchedulerSettings("niyama")),
    ]
    return RunTable(
        name="alpha",
        lead=_LEAD.format(num=num, legend=LEGEND),
        head=("policy", "requests a second"),
        columns=(
            Column("violations", "violations, all"),
            Column("long prompts", "violations, long prompts"),
            Column("short prompts", "violations, short prompts"),
            Column("Q1", "violations, class Q1"),
            Column("completed a second", "completed a second", "number"),
        ),
        runs=[
            Run(
                labels=(name, f"{qps:g}"),
                cluster=replace(cluster(_CODE), scheduler=scheduler),
                traffic=traffic(_CODE, qps=qps, num_requests=num),
            )
            for qps in _RATES
            for name, scheduler in schedulers
        ],
        seeds=extent.seeds(2),
    )
