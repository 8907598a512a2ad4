"""Promises that no replica could keep, however idle: told before anything is simulated in vain.

The least time that a request can take is a bound and not a policy: its whole prompt in one iteration, alone, and then
one iteration for each further token, alone. What is promised in less is missed on any number of replicas.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from niyama_core.latency import IterationShape, LatencyModel
from niyama_core.slo import Batch, Interactive, Slo
from niyama_core.units import format_duration

from niyama_eval.workloads import WorkloadRequest

__all__ = ["Doubt", "cut_share", "doubts", "least_answer_seconds", "least_first_token_seconds", "least_gap_seconds"]

# As many requests of a class tell what the class is like; judging each of a million would take longer than a run.
_SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class Doubt:
    """A promise that some requests of a class must break.

    Attributes:
        qos_class: name of the class.
        promise: which of its times: `ttft`, `tbt` or `ttlt`.
        promised: seconds.
        share: of the class's requests that take longer even on an idle replica.
        needed: seconds in which 99 of 100 of them could be served there.
    """

    qos_class: str
    promise: str
    promised: float
    share: float
    needed: float

    @property
    def counts_as_violation(self) -> bool:
        """Whether a request that breaks it is a violation by the published rule, which does not look at gaps."""
        return self.promise != "tbt"

    def __str__(self) -> str:
        """Return the doubt as one line, with what to promise instead."""
        share = "every request" if self.share >= 1 else f"{self.share:.1%} of the requests"
        return (
            f"class {self.qos_class}: {self.promise} {format_duration(self.promised)} cannot be kept: {share} would "
            f"take longer alone on an idle replica; promise at least {format_duration(self.needed)}, or choose a "
            "faster profile"
        )


def doubts(requests: Iterable[WorkloadRequest], law: LatencyModel, *, tolerated: float = 0.01) -> tuple[Doubt, ...]:
    """Return the promises that more than `tolerated` of a class must miss, even each alone on an idle replica."""
    by_promise: dict[tuple[str, Slo], list[WorkloadRequest]] = {}
    for request in requests:
        by_promise.setdefault((request.promise.qos_class, request.promise.slo), []).append(request)
    found = (
        _doubt(name, promise, seconds=seconds, mine=mine[:: -(-len(mine) // _SAMPLE)], law=law)
        for (name, slo), mine in by_promise.items()
        for promise, seconds in _times(slo)
    )
    return tuple(doubt for doubt in found if doubt.share > tolerated)


def cut_share(requests: Sequence[WorkloadRequest], context_tokens: int) -> float:
    """Return the share of requests that fill the context to the last token: those that were cut to fit into it."""
    num_cut = sum(one.num_prompt_tokens + one.num_output_tokens >= context_tokens for one in requests)
    return num_cut / max(len(requests), 1)


def least_first_token_seconds(num_prompt_tokens: int, *, law: LatencyModel) -> float:
    """Return the least time from arrival to the first token: the prompt in one iteration."""
    return law.iteration_time(IterationShape(num_prompt_tokens, 0, 0, prefill_attention=num_prompt_tokens**2 / 2))


def least_gap_seconds(context_tokens: int, *, law: LatencyModel) -> float:
    """Return the least time between two tokens of an answer that is generated alone."""
    return law.iteration_time(IterationShape(0, 1, context_tokens))


def least_answer_seconds(num_prompt_tokens: int, num_output_tokens: int, *, law: LatencyModel) -> float:
    """Return the least time from arrival to the last token."""
    gap = least_gap_seconds(num_prompt_tokens + num_output_tokens // 2, law=law)
    return least_first_token_seconds(num_prompt_tokens, law=law) + (num_output_tokens - 1) * gap


def _times(slo: Slo) -> tuple[tuple[str, float], ...]:
    match slo:
        case Interactive(ttft=ttft, tbt=tbt):
            return ("ttft", ttft), ("tbt", tbt)
        case Batch(ttlt=ttlt):
            return (("ttlt", ttlt),)


def _doubt(name: str, promise: str, *, seconds: float, mine: Sequence[WorkloadRequest], law: LatencyModel) -> Doubt:
    least = np.array([_least(promise, request, law=law) for request in mine])
    return Doubt(name, promise, seconds, float(np.mean(least > seconds)), float(np.percentile(least, 99)))


def _least(promise: str, request: WorkloadRequest, *, law: LatencyModel) -> float:
    match promise:
        case "ttft":
            return least_first_token_seconds(request.num_prompt_tokens, law=law)
        case "tbt":
            # An answer of one token has no gap.
            return least_gap_seconds(request.num_prompt_tokens, law=law) if request.num_output_tokens > 1 else 0.0
        case _:
            return least_answer_seconds(request.num_prompt_tokens, request.num_output_tokens, law=law)
