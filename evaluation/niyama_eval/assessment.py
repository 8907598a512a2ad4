"""What traffic looks like: how much of it comes when, and how long prompts and answers are.

Figures only; what they mean for classes is `niyama_eval.suggestion`'s to say. Where the traffic has no times, there is
nothing to say of rates.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from niyama_eval.arrivals import Times, Until
from niyama_eval.lengths import Counts
from niyama_eval.sources import FileSource, Source
from niyama_eval.traces import Trace

__all__ = ["LONG_PROMPT_TOKENS", "Assessment", "LengthFacts", "RateFacts", "assess", "observed", "rate_curve"]

LONG_PROMPT_TOKENS = 6_200
"""A prompt above it is long, as in the published evaluation."""

WINDOWS = (1.0, 10.0, 60.0, 600.0)
"""Seconds over which arrivals are counted."""

_LEAST_WINDOWS = 10
_DAY, _HOUR = 86_400.0, 3_600.0
_AT_ONCE_SECONDS = 0.001
_DRAWN_REQUESTS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthFacts:
    """How long prompts, or answers, are; tokens."""

    mean: float
    p50: float
    p90: float
    p99: float
    longest: int

    @classmethod
    def of(cls, tokens: Counts) -> "LengthFacts":
        """Return the facts of some lengths."""
        p50, p90, p99 = np.percentile(tokens, (50, 90, 99)).tolist()
        return cls(mean=float(tokens.mean()), p50=p50, p90=p90, p99=p99, longest=int(tokens.max()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RateFacts:
    """When requests come.

    Attributes:
        seconds: from the first to the last.
        mean_qps: requests per second over that time.
        median_gap_s: between one request and the next.
        at_once: share of the requests that come within a millisecond of the one before.
        peak_qps: by seconds of a window, the rate in the busiest window of that length.
        dispersion: by seconds of a window, the variance of the counts in such windows over their mean. It is 1 for
            Poisson arrivals, however long the window; above it there are bursts. Windows of which the traffic holds
            fewer than ten are left out.
        busiest_hour: rate of the hour of the day with most requests, hours counted from the first request; None unless
            the traffic is as long as a day.
        calmest_hour: likewise, of the hour with fewest.
    """

    seconds: float
    mean_qps: float
    median_gap_s: float
    at_once: float
    peak_qps: Mapping[float, float]
    dispersion: Mapping[float, float]
    busiest_hour: float | None
    calmest_hour: float | None

    @classmethod
    def of(cls, arrivals: Times) -> "RateFacts | None":
        """Return the facts of arrivals; None when all come in one instant, which has no rate."""
        seconds = float(arrivals[-1] - arrivals[0])
        if seconds <= 0:
            return None
        counts = {window: _counts(arrivals, window) for window in WINDOWS if seconds >= window}
        gaps = np.diff(arrivals)
        hours = _rates_by_hour(arrivals)
        return cls(
            seconds=seconds,
            mean_qps=len(gaps) / seconds,
            median_gap_s=float(np.median(gaps)),
            at_once=float(np.mean(gaps < _AT_ONCE_SECONDS)),
            peak_qps={window: float(count.max()) / window for window, count in counts.items()},
            dispersion={
                window: float(count.var() / count.mean())
                for window, count in counts.items()
                if len(count) >= _LEAST_WINDOWS
            },
            busiest_hour=float(hours.max()) if len(hours) else None,
            calmest_hour=float(hours.min()) if len(hours) else None,
        )

    def peak_to_mean(self, window: float) -> float:
        """Return how many times the mean rate the busiest window of that length has."""
        return self.peak_qps[window] / self.mean_qps


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What some traffic looks like.

    Attributes:
        name: of the traffic.
        num_requests: how many it has.
        prompts: lengths of the prompts.
        outputs: lengths of the answers.
        rank_correlation: Spearman's, of a prompt's length and its answer's; None when one of them is constant.
        long_prompts: share of the prompts that are longer than `LONG_PROMPT_TOKENS`.
        long_work: share of all tokens that requests with such prompts bring.
        rates: None when the traffic has no times.
    """

    name: str
    num_requests: int
    prompts: LengthFacts
    outputs: LengthFacts
    rank_correlation: float | None
    long_prompts: float
    long_work: float
    rates: RateFacts | None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return asdict(self)


def assess(trace: Trace) -> Assessment:
    """Return what the requests of a trace look like; a count of 0 tokens is what its file says."""
    prompts, outputs = trace.num_prompt_tokens, trace.num_output_tokens
    tokens = prompts + outputs
    is_long = prompts > LONG_PROMPT_TOKENS
    return Assessment(
        name=trace.name,
        num_requests=len(trace),
        prompts=LengthFacts.of(prompts),
        outputs=LengthFacts.of(outputs),
        rank_correlation=_rank_correlation(prompts, outputs),
        long_prompts=float(is_long.mean()),
        long_work=float(tokens[is_long].sum() / max(int(tokens.sum()), 1)),
        rates=None if trace.arrivals is None else RateFacts.of(trace.arrivals),
    )


def observed(source: Source, *, seed: int = 1) -> Trace:
    """Return the requests of a source once through: those of a file, or as many as its figures have arrivals for.

    Figures without times give a sample of lengths.
    """
    if isinstance(source, FileSource):
        return source.trace
    rng = np.random.default_rng(seed)
    if source.period is None:
        sizes = source.sizes(_DRAWN_REQUESTS, rng)
        return Trace(source.name, None, sizes.num_prompt_tokens, sizes.num_output_tokens)
    stretch = source.replay(Until(seconds=source.period), start=0.0, rng=rng)
    return Trace(source.name, stretch.arrivals, stretch.sizes.num_prompt_tokens, stretch.sizes.num_output_tokens)


def rate_curve(arrivals: Times, *, num_bins: int) -> tuple[Times, Times]:
    """Return the edges of equally long bins, in seconds, and the requests per second in each."""
    edges = np.linspace(float(arrivals[0]), max(float(arrivals[-1]), float(arrivals[0]) + 1.0), num_bins + 1)
    return edges, np.histogram(arrivals, edges)[0] / (edges[1] - edges[0])


def _counts(arrivals: Times, window: float) -> NDArray[np.int64]:
    """Return the requests in each whole window; what is left at the end counts nowhere."""
    num_windows = int((arrivals[-1] - arrivals[0]) / window)
    places = ((arrivals - arrivals[0]) / window).astype(np.int64)
    return np.bincount(places, minlength=num_windows)[:num_windows]


def _rates_by_hour(arrivals: Times) -> Times:
    """Return the mean rate in each hour of the day, over whole days; empty without one."""
    num_days = int((arrivals[-1] - arrivals[0]) / _DAY)
    hours = _counts(arrivals, _HOUR)[: num_days * 24]
    return hours.reshape(num_days, 24).mean(axis=0) / _HOUR if num_days else np.zeros(0)


def _rank_correlation(one: Counts, other: Counts) -> float | None:
    """Return Spearman's rank correlation; equal values share the mean of their ranks."""
    ranks = _ranks(one), _ranks(other)
    if len(one) < 2 or any(rank.std() == 0 for rank in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: Counts) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[places], np.float64)
