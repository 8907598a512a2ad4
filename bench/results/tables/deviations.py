"""Where our goodput is more than a twentieth above the published: what would have to be otherwise."""

from dataclasses import replace

from bench.results.page import LEGEND
from bench.results.runs import Column, Run, RunTable
from bench.results.setting import Extent, cluster, traffic
from bench.results.tables.diurnal import diurnal

__all__ = ["deviations"]

_LEAD = """# Deviations from the published goodput, and what removes them

Where [our goodput](goodput.md) is more than 5 % above the published figure, one replica is run at 5 % above that
figure. If nothing else were different, a class should miss more than 1 % of its promises there. *Bursts of long
prompts* have the same arrivals and the same lengths, dealt out so that the ranks of one prompt and the next correlate.
*Longer runs* have the published traffic for a multiple of the published number of requests: batch classes have up to
half an hour to hide a backlog that grows. The last lines are of [diurnal load](diurnal.md), where ours has far fewer
violations. What it means is in [goodput.md](../goodput.md#deviations).

{legend} Made by `make results`."""

_RUNS = (
    ("Azure Code", "azure-code-2024", "sarathi-fcfs", 1.5, 39_000, ("bursts", (0.0, 0.3, 0.6))),
    ("Azure Code", "azure-code-2024", "sarathi-edf", 2.6, 39_000, ("longer", (1, 4))),
    ("Azure Conv", "azure-conv-2024", "sarathi-edf", 3.5, 42_000, ("longer", (1, 4, 12))),
    ("Azure Conv", "azure-conv-2024", "qoserve", 4.3, 42_000, ("longer", (1, 4))),
    ("ShareGPT", "sharegpt", "sarathi-edf", 1.8, 18_000, ("longer", (1, 4))),
)


def deviations(extent: Extent) -> RunTable:
    """Return the table."""
    runs = []
    for title, workload, policy, published, num, (what, steps) in _RUNS:
        for step in steps:
            length = extent.requests(num) * (int(step) if what == "longer" else 1)
            words = f"{length:,} requests" if what == "longer" else f"bursts of long prompts, correlation {step:g}"
            runs.append(
                Run(
                    labels=(title, f"`{policy}`", f"{1.05 * published:.3g}", words),
                    cluster=cluster(workload).with_policy(policy),
                    traffic=traffic(workload, qps=1.05 * published, num_requests=length),
                    correlation=float(step) if what == "bursts" else 0.0,
                )
            )
    diurnal_run = next(run for run in diurnal(extent).runs if run.labels == ("`qoserve`",))
    paper = {title: figure for title, figure in diurnal_run.published.items() if title.startswith("Q")}
    for in_tiers, words in ((False, "as it is"), (True, "unimportant requests behind all important ones")):
        labels = ("Azure Code, diurnal", "`qoserve`", "2 and 5", words)
        runs.append(replace(diurnal_run, labels=labels, published=paper, in_tiers=in_tiers))
    return RunTable(
        name="deviations",
        lead=_LEAD.format(legend=LEGEND),
        head=("workload", "policy", "requests a second", "run"),
        columns=(
            Column("worst class", "violations, worst class"),
            Column("Q1", "violations, class Q1"),
            Column("Q2", "violations, class Q2"),
            Column("Q3", "violations, class Q3"),
            Column("backlog grows by", "backlog growth"),
        ),
        runs=runs,
        seeds=extent.seeds(1),
    )
