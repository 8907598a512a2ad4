"""The figures of public traces that ship with the package: length quantiles and arrival curves, never the traces.

Each file in `data/` says where its figures come from and under which licence; docs/data.md says how they were made.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from niyama_eval.arrivals import RateCurve
from niyama_eval.lengths import LengthTable, Quantiles

__all__ = ["WORKLOADS", "WorkloadFigures", "load_figures"]

WORKLOADS = ("azure-code-2024", "azure-conv-2024", "sharegpt", "azure-code-2023", "azure-conv-2023")
"""The workloads whose figures ship."""


@dataclass(frozen=True, slots=True)
class WorkloadFigures:
    """What is known of one public trace.

    Attributes:
        name: as the command line names it.
        num_requests: rows of the trace.
        lengths: how long its prompts and answers are.
        rates: requests per second over time; None where no times are published.
        source: dataset and licence, in one line to print below a figure.
    """

    name: str
    num_requests: int
    lengths: LengthTable
    rates: RateCurve | None
    source: str


@cache
def load_figures(name: str) -> WorkloadFigures:
    """Return the shipped figures of one of `WORKLOADS`."""
    text = resources.files("niyama_eval").joinpath("data", f"{name}.json").read_text(encoding="utf-8")
    figures = json.loads(text)
    origin = figures["origin"]
    return WorkloadFigures(
        name=name,
        num_requests=figures["num_requests"],
        lengths=_lengths(figures["prompt_tokens"], figures["output_tokens"]),
        rates=_rates(figures.get("arrivals")),
        source=f"{origin['dataset']} ({origin['licence']})",
    )


def _lengths(prompt: Mapping[str, Any], output: Mapping[str, Any]) -> LengthTable:
    tables = tuple(_quantiles(output["percentiles"], tokens) for tokens in output["tokens_by_bucket"])
    return LengthTable(
        prompt=_quantiles(prompt["percentiles"], prompt["tokens"]),
        edges=tuple(output["prompt_buckets"]),
        outputs=tables,
        max_total_tokens=output.get("max_total_tokens"),
    )


def _quantiles(percentiles: Sequence[float], tokens: Sequence[float]) -> Quantiles:
    return Quantiles(tuple(percentiles), tuple(tokens))


def _rates(arrivals: Mapping[str, Any] | None) -> RateCurve | None:
    if arrivals is None:
        return None
    seconds = arrivals["bin_seconds"]
    return RateCurve(seconds, tuple(count / seconds for count in arrivals["counts"]))
