"""Which classes some traffic suggests, and why: where to begin, not what is true.

Lengths and times do not say whether a person waits. What can be said is how long an answer is, what a replica of the
profile needs for it, and how much waiting the bursts make; each suggestion says its reasons in words, to be argued
with.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from niyama_core.latency import IterationShape, LatencyModel
from niyama_core.profiles import LatencyProfile
from niyama_core.slo import Batch, Interactive, QosClass
from niyama_core.units import format_duration
from numpy.typing import NDArray

from niyama_eval.assessment import LONG_PROMPT_TOKENS, Assessment
from niyama_eval.feasibility import least_answer_seconds, least_first_token_seconds
from niyama_eval.traces import Trace

__all__ = ["Suggestion", "carried_qps", "remarks", "suggest_classes"]

SHORT_ANSWER_TOKENS = 256
"""An answer up to it is read within a minute, at about five tokens a second."""

_LEAST_SHARE = 0.05
_CALM_HEADROOM, _BURSTY_HEADROOM = 4.0, 8.0
# Over such a time, about a TTFT, counts that vary so many times as much as those of Poisson arrivals are bursts.
_BURST_SECONDS, _BURSTY = 10.0, 5.0
_MINUTE = 60.0
_FULL_CHUNK, _SMALL_CHUNK, _USUAL_DECODES = 2_048, 256, 32
_READING_TBT = 0.2
# What people write in manifests.
_NICE_SECONDS = (1, 2, 3, 4, 6, 8, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One class, the share of the requests that it is for, and the reasons, a sentence each."""

    qos_class: QosClass
    share: float
    reasons: tuple[str, ...]


def suggest_classes(trace: Trace, facts: Assessment, *, profile: LatencyProfile) -> tuple[Suggestion, ...]:
    """Return an interactive class for short answers and a batch class for long ones, or the one that has nearly all."""
    prompts = np.minimum(np.maximum(trace.num_prompt_tokens, 1), profile.context_tokens - 1)
    outputs = np.maximum(trace.num_output_tokens, 1)
    short_answers = float(np.mean(outputs <= SHORT_ANSWER_TOKENS))
    is_short = _groups(outputs <= SHORT_ANSWER_TOKENS)
    share = float(is_short.mean())
    tbt = _suggested_tbt(profile.law, context_tokens=round(float(prompts.mean())))
    found = []
    if share > 0:
        why = f"{_percent(short_answers)} of the answers have at most {SHORT_ANSWER_TOKENS} tokens"
        prompt = float(np.percentile(prompts[is_short], 99))
        reasons = f"{why}: short enough to be waited for.", *_gap_reason(facts, law=profile.law)
        found.append(_with_reasons(_interactive(facts, prompt, tbt=tbt, law=profile.law), share, before=reasons))
    if share < 1:
        why = f"{_percent(1 - short_answers)} of the answers have more than {SHORT_ANSWER_TOKENS} tokens"
        longest = float(np.percentile(prompts[~is_short], 99)), float(np.percentile(outputs[~is_short], 99))
        reasons = (f"{why}: hardly anybody waits for the first token of such.",)
        found.append(_with_reasons(_batch(longest, tbt=tbt, law=profile.law), 1 - share, before=reasons))
    return tuple(found)


def carried_qps(mean_prompt: float, mean_output: float, *, law: LatencyModel) -> float:
    """Return about how many such requests a replica could serve in a second, if it computed nothing but full chunks."""
    decodes = max(1, round(_FULL_CHUNK * mean_output / mean_prompt))
    shape = IterationShape(_FULL_CHUNK, decodes, round(decodes * mean_prompt), prefill_context_tokens=_FULL_CHUNK)
    return _FULL_CHUNK / (mean_prompt * law.iteration_time(shape))


def remarks(facts: Assessment, profile: LatencyProfile) -> Iterator[str]:
    """Yield what a planner should know of the traffic, a sentence each."""
    yield from _load_remarks(facts, profile)
    if facts.long_prompts > 0:
        alone = format_duration(least_first_token_seconds(LONG_PROMPT_TOKENS, law=profile.law))
        yield (
            f"{_percent(facts.long_prompts)} of the prompts are longer than {LONG_PROMPT_TOKENS:,} tokens and bring "
            f"{_percent(facts.long_work)} of all tokens. One occupies a replica for {alone} or more, and policies that "
            "serve the short first let these wait: look at their violations apart."
        )
    if facts.rank_correlation is not None:
        is_plain = abs(facts.rank_correlation) < 0.2
        yield f"Rank correlation of prompt and answer {facts.rank_correlation:.2f}: " + (
            "a prompt's length says next to nothing of its answer's."
            if is_plain
            else f"longer prompts have {'longer' if facts.rank_correlation > 0 else 'shorter'} answers."
        )
    if facts.prompts.longest >= profile.context_tokens:
        yield (
            f"The longest prompt has {facts.prompts.longest:,} tokens; {profile.name} holds "
            f"{profile.context_tokens:,}, and simulations cut what is longer."
        )


def _load_remarks(facts: Assessment, profile: LatencyProfile) -> Iterator[str]:
    carried = carried_qps(max(facts.prompts.mean, 1), facts.outputs.mean, law=profile.law)
    if facts.rates is None:
        yield (
            "It has no times: rates, bursts and daily pattern are unknown. Plan with --qps, and mind that Poisson "
            f"arrivals are calmer than real ones. A replica of {profile.name} carries about {carried:.2g} such "
            "requests a second at best."
        )
        return
    rates = facts.rates
    load = f"The mean load is about {rates.mean_qps / carried:.2g} replicas of {profile.name} at their best"
    minute = rates.peak_qps.get(_MINUTE)
    yield f"{load}." if minute is None else f"{load}; in the busiest minute {minute / carried:.2g}."
    if _is_bursty(facts):
        times = f"{_BURST_SECONDS:g} s vary {_rounded(rates.dispersion[_BURST_SECONDS])} times"
        yield (
            f"It is bursty: counts over {times} as much as those of Poisson arrivals. Plan with its own times "
            "(--arrivals trace), not with its mean rate."
        )
    if rates.at_once > 0.2:
        yield f"{_percent(rates.at_once)} of the requests come in the same millisecond as another: programs send so."
    if rates.busiest_hour is None:
        yield f"It is {format_duration(rates.seconds)} long: too short to show a daily pattern."
    elif rates.calmest_hour is not None:
        yield (
            f"Over a day it goes from {rates.calmest_hour:.2g} to {rates.busiest_hour:.2g} requests a second by the "
            "hour: batch classes with hours of time can fill the calm ones."
        )


def _groups(is_short: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which requests are of the class for short answers; few of one kind go with the others."""
    share = is_short.mean()
    if share < _LEAST_SHARE:
        return np.zeros_like(is_short)
    return np.ones_like(is_short) if share > 1 - _LEAST_SHARE else is_short


_Reasoned = tuple[QosClass, tuple[str, ...]]


def _with_reasons(reasoned: _Reasoned, share: float, *, before: tuple[str, ...]) -> Suggestion:
    qos_class, reasons = reasoned
    return Suggestion(qos_class, share, (*before, *reasons))


def _interactive(facts: Assessment, prompt: float, *, tbt: float, law: LatencyModel) -> _Reasoned:
    headroom = _BURSTY_HEADROOM if _is_bursty(facts) else _CALM_HEADROOM
    alone = least_first_token_seconds(round(prompt), law=law)
    ttft = _nice(headroom * alone)
    why = "twice as much as for calm traffic, because it is bursty" if _is_bursty(facts) else "to wait behind others"
    for_ttft = (
        f"TTFT {format_duration(ttft)}: a prompt of {prompt:,.0f} tokens (99 of 100 are no longer) takes "
        f"{format_duration(alone)} alone; {headroom:g} times that, {why}."
    )
    for_tbt = (
        f"TBT {format_duration(tbt)}: an iteration with {_USUAL_DECODES} answers under way still has room for "
        f"{_SMALL_CHUNK} prompt tokens; people read at about {format_duration(_READING_TBT)} a token."
    )
    return QosClass("interactive", Interactive(ttft, tbt)), (for_ttft, for_tbt)


def _batch(longest: tuple[float, float], *, tbt: float, law: LatencyModel) -> _Reasoned:
    prompt, output = longest
    busy = least_first_token_seconds(round(prompt), law=law) + output * tbt
    ttlt = _nice(_CALM_HEADROOM * busy)
    for_ttlt = (
        f"TTLT {format_duration(ttlt)}: {prompt:,.0f} prompt and {output:,.0f} answer tokens (99 of 100 are no longer) "
        f"take {format_duration(busy)} on a busy replica; {_CALM_HEADROOM:g} times that, so that it may give way."
    )
    otherwise = (
        "Where people read along, make it interactive as well, with a TBT of "
        f"{format_duration(_READING_TBT)}; where nobody waits, promise hours: it makes every other promise cheaper."
    )
    return QosClass("batch", Batch(ttlt)), (for_ttlt, otherwise)


def _gap_reason(facts: Assessment, *, law: LatencyModel) -> Iterator[str]:
    """Yield what the gaps say, if a request usually comes while the one before is still being served."""
    if facts.rates is None:
        return
    alone = least_answer_seconds(round(facts.prompts.p50), max(round(facts.outputs.p50), 1), law=law)
    if facts.rates.median_gap_s < alone:
        gap = format_duration(facts.rates.median_gap_s)
        yield f"Half of the requests follow the one before within {gap}; one takes {format_duration(alone)} alone."


def _suggested_tbt(law: LatencyModel, *, context_tokens: int) -> float:
    """Return the time of a usual small iteration, rounded up to 10 ms."""
    shape = IterationShape(
        _SMALL_CHUNK,
        _USUAL_DECODES,
        _USUAL_DECODES * context_tokens,
        context_tokens,
        _SMALL_CHUNK * (context_tokens / 2),
    )
    return math.ceil(law.iteration_time(shape) * 100) / 100


def _is_bursty(facts: Assessment) -> bool:
    """Return whether bursts are felt within the times that interactive classes promise."""
    return facts.rates is not None and facts.rates.dispersion.get(_BURST_SECONDS, 1.0) > _BURSTY


def _nice(seconds: float) -> float:
    """Return the least usual duration that is not shorter."""
    return float(next((nice for nice in _NICE_SECONDS if nice >= seconds), _NICE_SECONDS[-1]))


def _rounded(number: float) -> str:
    return f"{float(f'{number:.2g}'):,g}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
