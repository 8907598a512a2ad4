"""The published steps from EDF to QoServe, and ours beyond: goodput, and violations at 6 requests a second."""

from dataclasses import replace

from niyama_core.policies import SchedulerSettings
from niyama_eval.goodput import run_length

from bench.results.page import LEGEND
from bench.results.runs import Column, Run, RunTable
from bench.results.searches import Line, SearchTable
from bench.results.setting import Extent, cluster, traffic

__all__ = ["ablation_goodput", "ablation_overload"]

_CODE = "azure-code-2024"
# Step, its scheduler, and the published goodput and violations.
_STEPS: tuple[tuple[str, SchedulerSettings, float | None, str | None], ...] = (
    ("EDF, 256 tokens", SchedulerSettings("sarathi-edf"), 2.75, "100 %"),
    ("+ dynamic chunking", SchedulerSettings("edf-chunking"), 3.3, "74 %"),
    ("+ relegation", SchedulerSettings("qoserve", alpha=0.0), 3.6, "26 %"),
    ("+ hybrid priority, which is `qoserve`", SchedulerSettings("qoserve"), 3.65, "16 %"),
    ("+ chunks up to 8,192, learnt times", SchedulerSettings("niyama", alpha=0.008), None, None),
    ("+ an order that follows the crowd, which is `niyama`", SchedulerSettings("niyama"), None, None),
)

_LEAD = """# Ablation: {title}

The published steps from EDF to QoServe, and ours from there, each added to the one before. The published workload is
not named; Azure Code and Llama-3-8B are assumed, which fits the figures. {what}

{legend} Made by `make results`."""


def ablation_goodput(extent: Extent) -> SearchTable:
    """Return the goodput of each step."""
    return SearchTable(
        name="ablation-goodput",
        lead=_LEAD.format(title="goodput", what="Requests per second of one replica.", legend=LEGEND),
        head=("step",),
        lines=[
            Line(
                labels=(step,),
                cluster=replace(cluster(_CODE), scheduler=scheduler),
                traffic=traffic(_CODE, num_requests=extent.requests(run_length([_CODE]))),
                guess=published or 3.65,
                published=published,
            )
            for step, scheduler, published, _ in _STEPS
        ],
        seeds=extent.seeds(2),
        resolution=extent.resolution,
        rules=("published",),
    )


def ablation_overload(extent: Extent) -> RunTable:
    """Return the violations of each step at 6 requests a second."""
    num = extent.requests(75_000)
    what = f"One replica under 6 requests a second, {num:,} of them, half as many again as it can serve."
    return RunTable(
        name="ablation-overload",
        lead=_LEAD.format(title="overload", what=what, legend=LEGEND),
        head=("step",),
        columns=(
            Column("violations", "violations, all"),
            Column("long prompts", "violations, long prompts"),
            Column("Q1", "violations, class Q1"),
            Column("late tokens", "late_tokens, worst class"),
            Column("completed a second", "completed a second", "number"),
        ),
        runs=[
            Run(
                labels=(step,),
                cluster=replace(cluster(_CODE), scheduler=scheduler),
                traffic=traffic(_CODE, qps=6.0, num_requests=num),
                published={"violations": violations} if violations else {},
            )
            for step, scheduler, _, violations in _STEPS
        ],
        seeds=extent.seeds(2),
    )
