"""Other models and GPUs, another law for the same, and replicas that only compute prompts."""

from dataclasses import replace

from niyama_core.policies import SchedulerSettings
from niyama_eval.goodput import run_length

from bench.results.page import LEGEND
from bench.results.searches import Line, SearchTable
from bench.results.setting import TITLES, Extent, cluster, traffic

__all__ = ["laws", "models", "prefill_only"]

# Profile, its name, and the published figures of FCFS, EDF and QoServe.
_MODELS: tuple[tuple[str, str, dict[str, tuple[float, float, float]]], ...] = (
    (
        "a100x2-qwen-7b-published",
        "Qwen-7B, 2x A100",
        {"azure-code-2024": (3.1, 3.8, 5.0), "azure-conv-2024": (3.0, 3.7, 5.6), "sharegpt": (1.4, 1.5, 1.8)},
    ),
    ("h100x4-llama3-70b-published", "Llama-3-70B, 4x H100", {"sharegpt": (1.2, 1.7, 2.2)}),
)
_THREE = ("sarathi-fcfs", "sarathi-edf", "qoserve")

_MODELS_LEAD = """# Other models and GPUs

Goodput of one replica by the published rule. The laws of these profiles are proxies that nobody has measured end to
end: closed forms fitted to profiled kernels of models with the same layer shapes, with the overhead of the engine that
was calibrated for Llama-3-8B ([profiles](../profiles.md)). So a deviation here tells of the law first; what should
hold is the order of the policies and about how far they are apart. The published figure of QoServe for Qwen-7B reads
5.0 or 5.6 on Azure Code, and 5.6 or 5.0 on Azure Conv; those of Llama-3-70B on Azure traffic cannot be read.

{legend} Made by `make results`."""

_LAWS_LEAD = """# The same gains under another law

Goodput of one replica with the profile `a100-llama3-8b`: iterations obey our closed form, calibrated on public kernel
profiles, which has no jump at 512 tokens that a fine search could exploit, and policies begin with the published
regression, so they plan with a law that is not the true one. Limits: `python bench/limits.py`.

{legend} Made by `make results`."""

_PREFILL_LEAD = """# Replicas that only compute prompts

Azure Conv, every answer one token, iterations of up to 8,192 tokens, alpha 16 ms, as published: the prefill side of a
cluster that computes answers elsewhere. {first:,} requests for `sarathi-fcfs`, {others:,} for the others. Of the two
other models the laws are proxies (see [other models](models.md)).

{legend} Made by `make results`."""


def models(extent: Extent) -> SearchTable:
    """Return the goodput of models 2 and 3."""
    lines = []
    for profile, name, published in _MODELS:
        for workload, title in TITLES.items():
            paper = published.get(workload, (None, None, None))
            for policy, figure in zip((*_THREE, "niyama"), (*paper, None), strict=True):
                lines.append(
                    Line(
                        labels=(name, title, f"`{policy}`"),
                        cluster=cluster(workload, profile=profile).with_policy(policy),
                        traffic=traffic(workload, num_requests=extent.requests(run_length([workload]))),
                        guess=figure or paper[2] or 5.0,
                        published=figure,
                    )
                )
    return SearchTable(
        name="models",
        lead=_MODELS_LEAD.format(legend=LEGEND),
        head=("model", "workload", "policy"),
        lines=lines,
        seeds=extent.seeds(1),
        resolution=max(extent.resolution, 0.04),
        rules=("published",),
    )


def laws(extent: Extent) -> SearchTable:
    """Return the goodput under the calibrated closed form."""
    limits = {"azure-code-2024": 4.05, "azure-conv-2024": 5.46, "sharegpt": 2.47}
    return SearchTable(
        name="laws",
        lead=_LAWS_LEAD.format(legend=LEGEND),
        head=("workload", "policy"),
        lines=[
            Line(
                labels=(title, f"`{policy}`"),
                cluster=cluster(workload, profile="a100-llama3-8b").with_policy(policy),
                traffic=traffic(workload, num_requests=extent.requests(run_length([workload]))),
                guess=0.9 * limits[workload],
                limit=limits[workload],
            )
            for workload, title in TITLES.items()
            for policy in ("qoserve", "niyama")
        ],
        seeds=extent.seeds(1),
        resolution=extent.resolution,
    )


def prefill_only(extent: Extent) -> SearchTable:
    """Return the goodput of prefill-only replicas."""
    conv = "azure-conv-2024"
    published = (
        ("a100-llama3-8b-published", "Llama-3-8B, 1x A100", (6.0, 6.6, 7.3)),
        ("a100x2-qwen-7b-published", "Qwen-7B, 2x A100", (6.3, 7.4, 8.5)),
        ("h100x4-llama3-70b-published", "Llama-3-70B, 4x H100", (10.6, 11.6, 13.0)),
    )
    lines = []
    for profile, name, paper in published:
        for policy, figure in zip((*_THREE, "niyama"), (*paper, None), strict=True):
            scheduler = SchedulerSettings(policy, token_budget=8192, max_token_budget=8192)
            if policy == "qoserve":
                scheduler = replace(scheduler, alpha=0.016)
            num = 45_000 if policy == "sarathi-fcfs" else 90_000
            lines.append(
                Line(
                    labels=(name, f"`{policy}`"),
                    cluster=replace(cluster(conv, profile=profile), scheduler=scheduler, max_output_tokens=1),
                    traffic=traffic(conv, num_requests=extent.requests(num)),
                    guess=figure or paper[2],
                    published=figure,
                )
            )
    return SearchTable(
        name="prefill-only",
        lead=_PREFILL_LEAD.format(first=extent.requests(45_000), others=extent.requests(90_000), legend=LEGEND),
        head=("model", "policy"),
        lines=lines,
        seeds=extent.seeds(1),
        resolution=max(extent.resolution, 0.02),
        rules=("published",),
    )
