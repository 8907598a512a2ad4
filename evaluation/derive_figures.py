"""Derives the figures that ship in `niyama_eval/data` from the original trace files.

    python evaluation/derive_figures.py [--azure-code-2023 FILE] [--azure-conv-2023 FILE] [--sharegpt FILE]
        [--azure-2024-quantiles FILE]

Each file is named by path, plain or gzip; a file that is not named leaves its figures as they are. docs/data.md says
where the originals are to be had, and what is kept of them: counts of requests per 10 seconds and quantiles of
lengths, nothing that belongs to one request.
"""

import argparse
import csv
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from niyama_eval.traces import Trace, read_trace
from numpy.typing import NDArray

DATA = Path(__file__).parent / "niyama_eval" / "data"
BIN_SECONDS = 10
# Every percentile, and more of them in the long tail, where a straight line between two would lengthen the mean.
FINE = (*range(100), 99.25, 99.5, 99.75, 99.9, 99.95, 100)
COARSE = (0, 1, 2, *range(5, 100, 5), 98, 99, 100)
NUM_PROMPT_BUCKETS = 16

AZURE_2023 = {
    "dataset": "Azure LLM inference trace 2023, {trace}",
    "published_as": "Azure/AzurePublicDataset, data/AzureLLMInferenceTrace_{trace}.csv, commit b469a113cedc",
    "licence": "CC-BY 4.0",
    "cite": "Patel et al., Splitwise: Efficient generative LLM inference using phase splitting, ISCA 2024",
    "changes": "reduced to requests per 10 seconds and to percentiles of token counts",
}
AZURE_2024 = {
    "dataset": "Azure LLM inference trace 2024, {trace}",
    "published_as": "Azure/AzurePublicDataset, AzureLLMInferenceDataset2024 (one week of May 2024)",
    "licence": "CC-BY 4.0",
    "cite": "Stojkovic et al., DynamoLLM: Designing LLM inference clusters for performance and energy efficiency, "
    "HPCA 2025",
    "changes": "percentiles of token counts from a published notebook (exact) and its picture (digitised), the rest "
    "filled in (assumed)",
}
SHAREGPT = {
    "dataset": "ShareGPT lengths, 8k",
    "published_as": "microsoft/sarathi-serve, branch niyama_asplos2026, "
    "data/processed_traces/sharegpt_8k_filtered_stats_llama2_tokenizer.csv, commit 72339db5b120",
    "licence": "Apache-2.0",
    "cite": "QoServe: Breaking the Silos of LLM Inference Serving, ASPLOS 2026",
    "changes": "token counts reduced to percentiles of prompts, and of answers within 16 buckets of prompts",
}


def main() -> None:
    """Derive the figures of the files that the command line names."""
    parser = argparse.ArgumentParser(description="Derive the shipped figures from the original traces.")
    for option in ("--azure-code-2023", "--azure-conv-2023", "--sharegpt", "--azure-2024-quantiles"):
        parser.add_argument(option, type=Path)
    parser.add_argument("--output", type=Path, default=DATA, help="folder to write to (that of the package)")
    files = parser.parse_args()
    write = partial(write_figures, files.output)
    if files.azure_code_2023:
        write("azure-code-2023", figures=azure_2023("code", read_trace(files.azure_code_2023)))
    if files.azure_conv_2023:
        write("azure-conv-2023", figures=azure_2023("conv", read_trace(files.azure_conv_2023)))
    if files.sharegpt:
        write("sharegpt", figures=sharegpt(read_trace(files.sharegpt)))
    if files.azure_2024_quantiles:
        write("azure-code-2024", figures=azure_2024("code", files.azure_2024_quantiles, num_requests=16_803_695))
        write("azure-conv-2024", figures=azure_2024("conv", files.azure_2024_quantiles, num_requests=27_303_999))


def azure_2023(trace: str, requests: Trace) -> dict[str, Any]:
    """Return the figures of a trace with times; its answers hardly depend on its prompts (rank correlation < 0.1)."""
    if requests.arrivals is None:
        raise SystemExit(f"{requests.name} has no times: name the Azure trace of 2023")
    bins = (requests.arrivals // BIN_SECONDS).astype(np.int64)
    return {
        "origin": origin(AZURE_2023, trace),
        "num_requests": len(requests),
        "arrivals": {"bin_seconds": BIN_SECONDS, "counts": np.bincount(bins).tolist()},
        "prompt_tokens": quantiles(requests.num_prompt_tokens, FINE),
        "output_tokens": outputs([requests.num_output_tokens], FINE, buckets=[]),
    }


def sharegpt(requests: Trace) -> dict[str, Any]:
    """Return the figures of a trace without times, whose answers depend on its prompts."""
    prompts, answers = requests.num_prompt_tokens, requests.num_output_tokens
    edges = np.unique(np.floor(np.quantile(prompts, np.arange(1, NUM_PROMPT_BUCKETS) / NUM_PROMPT_BUCKETS)))
    buckets = np.searchsorted(edges, prompts)
    by_bucket = [answers[buckets == bucket] for bucket in range(len(edges) + 1)]
    return {
        "origin": origin(SHAREGPT),
        "num_requests": len(requests),
        "prompt_tokens": quantiles(prompts, FINE),
        "output_tokens": {
            **outputs(by_bucket, COARSE, buckets=[int(edge) for edge in edges]),
            "max_total_tokens": int((prompts + answers).max()),
        },
    }


def azure_2024(trace: str, table: Path, *, num_requests: int) -> dict[str, Any]:
    """Return the figures of a trace of which only a table of percentiles is to be had."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["trace"] == trace]
    prompts = [row for row in rows if row["field"] == "ContextTokens"]
    answers = [row for row in rows if row["field"] == "GeneratedTokens"]
    return {
        "origin": origin(AZURE_2024, trace),
        "num_requests": num_requests,
        "prompt_tokens": {**column(prompts, "percentile"), **column(prompts, "tokens"), "kinds": kinds(prompts)},
        "output_tokens": {
            **column(answers, "percentile"),
            "prompt_buckets": [],
            "tokens_by_bucket": list(column(answers, "tokens").values()),
            "kinds": kinds(answers),
        },
    }


def column(rows: Iterable[Mapping[str, str]], name: str) -> dict[str, list[float]]:
    """Return one column of numbers under the name that the shipped files have for it."""
    return {"percentiles" if name == "percentile" else name: [plain(float(row[name])) for row in rows]}


def kinds(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """Return how each percentile is known."""
    return [row["kind"] for row in rows]


def quantiles(counts: NDArray[np.int64], percentiles: tuple[float, ...]) -> dict[str, list[float]]:
    """Return the percentiles of some counts of tokens."""
    tokens = np.percentile(counts, percentiles).round(1).tolist()
    return {"percentiles": list(percentiles), "tokens": [plain(count) for count in tokens]}


def outputs(
    by_bucket: list[NDArray[np.int64]], percentiles: tuple[float, ...], *, buckets: list[int]
) -> dict[str, list[Any]]:
    """Return the percentiles of answers within each bucket of prompts."""
    tables = [quantiles(counts, percentiles)["tokens"] for counts in by_bucket]
    return {"prompt_buckets": buckets, "percentiles": list(percentiles), "tokens_by_bucket": tables}


def plain(number: float) -> float:
    """Return a whole number as an integer, which takes less room."""
    return int(number) if number == int(number) else number


def origin(template: Mapping[str, str], trace: str = "") -> dict[str, str]:
    """Return where the figures come from, and under which licence."""
    return {key: value.format(trace=trace) for key, value in template.items()}


def write_figures(folder: Path, name: str, *, figures: Mapping[str, Any]) -> None:
    """Write one file of figures, a line for each list, so that a difference can be read."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(compact(figures) + "\n", encoding="utf-8")


def compact(value: object, depth: int = 0) -> str:
    """Return `value` as JSON with one line for each list of plain values."""
    pad = " " * (depth + 1)
    if isinstance(value, Mapping):
        items = [f"{pad}{json.dumps(key)}: {compact(item, depth + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(items) + "\n" + " " * depth + "}"
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "[\n" + ",\n".join(pad + compact(item, depth + 1) for item in value) + "\n" + " " * depth + "]"
    return json.dumps(value, separators=(",", ":") if isinstance(value, list) else None)


if __name__ == "__main__":
    main()
