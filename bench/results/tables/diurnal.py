"""A load that rises above what a replica carries and falls again, with a free tier of a fifth."""

from niyama_eval.arrivals import Diurnal

from bench.results.page import LEGEND
from bench.results.runs import Column, Run, RunTable
from bench.results.setting import Extent, cluster, traffic

__all__ = ["diurnal"]

_CODE = "azure-code-2024"
_TITLES = ("all", "important", "Q1", "Q2", "Q3")
_PUBLISHED = {
    "sarathi-fcfs": ("81.9 %", "82.0 %", "97.1 %", "89.1 %", "59.6 %"),
    "sarathi-edf": ("84.1 %", "84.1 %", "79.3 %", "83.3 %", "89.8 %"),
    "qoserve": ("8.6 %", "0 %", "16.0 %", "10.0 %", "0 %"),
}

_LEAD = """# Diurnal load with importance

Two and five requests a second in turn, 15 minutes each, for four hours, on one replica; a fifth of the requests is of
low importance. Workload and model are not published; Azure Code and Llama-3-8B are assumed, which fits the figures. The
columns are violations of all, of the important, and by class.

{legend} Made by `make results`."""


def diurnal(extent: Extent) -> RunTable:
    """Return the table."""
    figures = ("violations, all", "violations, important", *(f"violations, class {name}" for name in _TITLES[2:]))
    return RunTable(
        name="diurnal",
        lead=_LEAD.format(legend=LEGEND),
        head=("policy",),
        columns=(
            *(Column(title, figure) for title, figure in zip(_TITLES, figures, strict=True)),
            Column("late tokens", "late_tokens, worst class"),
        ),
        runs=[
            Run(
                labels=(f"`{policy}`",),
                cluster=cluster(_CODE).with_policy(policy),
                traffic=traffic(
                    _CODE,
                    qps=None,
                    arrivals=Diurnal((2.0, 5.0), 900.0),
                    num_requests=extent.requests(50_400),
                    low_importance=0.2,
                ),
                published=dict(zip(_TITLES, _PUBLISHED.get(policy, ()), strict=False)),
            )
            for policy in ("sarathi-fcfs", "sarathi-edf", "qoserve", "niyama")
        ],
        seeds=extent.seeds(3),
    )
