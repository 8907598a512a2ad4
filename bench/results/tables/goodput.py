"""Goodput of one replica: the published table."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from niyama_eval.goodput import run_length

from bench.results.page import LEGEND
from bench.results.searches import Line, SearchTable
from bench.results.setting import PROFILE, TITLES, Extent, cluster, traffic

__all__ = ["LIMITS", "PUBLISHED", "goodput", "goodput_lines"]

POLICIES = ("sarathi-fcfs", "sarathi-edf", "sarathi-srpf", "sarathi-sjf", "qoserve", "niyama")
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
LIMITS: Mapping[str, float] = MappingProxyType({"azure-code-2024": 3.96, "azure-conv-2024": 5.34, "sharegpt": 2.47})
"""Stationary limits at chunks of up to 8,192 tokens: `python bench/limits.py`, docs/limits.md."""
_UNPUBLISHED = ("sarathi-srpf", "sarathi-sjf")
# Where a search begins for what is not published.
_LIKE = {"niyama": "qoserve", "sarathi-srpf": "sarathi-edf", "sarathi-sjf": "sarathi-edf"}

_LEAD = f"""# Goodput of one replica

Highest requests per second with at most 1 % violations in every class; [what the rules are](../goodput.md), and why
some figures deviate from the published ones. Llama-3-8B on one A100-80GB by the profile `{PROFILE}`, iterations with 5
% of seeded noise, rates {{resolution:.0%}} apart. Requests a run: {{lengths}}. The last column sets the strict rule
beside what [no policy can exceed](../limits.md), 3.96, 5.34 and 2.47 requests per second.

{LEGEND} Why the next rate fails is told of the first seed. Every simulated point is in `goodput.json`. Made by
`make results`."""


def goodput_lines(extent: Extent) -> Iterator[Line]:
    """Yield the lines of the published table."""
    for workload, title in TITLES.items():
        for policy in POLICIES:
            yield Line(
                labels=(title, f"`{policy}`"),
                cluster=cluster(workload).with_policy(policy),
                traffic=traffic(workload, num_requests=extent.requests(run_length([workload]))),
                guess=PUBLISHED[workload, _LIKE.get(policy, policy)],
                published=PUBLISHED.get((workload, policy)),
                limit=LIMITS[workload],
                most_seeds=1 if policy in _UNPUBLISHED else 3,
            )


def goodput(extent: Extent) -> SearchTable:
    """Return the table."""
    lengths = ", ".join(f"{extent.requests(run_length([one])):,} ({title})" for one, title in TITLES.items())
    return SearchTable(
        name="goodput",
        lead=_LEAD.format(resolution=extent.resolution, lengths=lengths),
        head=("workload", "policy"),
        lines=tuple(goodput_lines(extent)),
        seeds=extent.seeds(3),
        resolution=extent.resolution,
    )
