"""Workloads: what is asked of a cluster, drawn once and then given to every policy alike.

Arrivals, lengths, classes and importance are drawn from streams of random numbers apart. So runs that differ in
one setting differ in nothing else: at twice the rate come the same requests in half the time, with another mix the
same arrivals and lengths, and a longer run begins with the shorter one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from niyama_core.slo import Importance, Promise, QosClasses

from niyama_eval.arrivals import Diurnal, Poisson, RateCurve, Replayed, Times, Until, draw_arrivals
from niyama_eval.errors import WorkloadError
from niyama_eval.lengths import Counts, Sizes
from niyama_eval.settings import MAX_REQUESTS, WorkloadSettings
from niyama_eval.sources import Source, Stretch, load_source

__all__ = ["WorkloadRequest", "generate", "generate_seeded"]


@dataclass(frozen=True, slots=True)
class WorkloadRequest:
    """One request of a workload.

    Attributes:
        request_id: unique in the workload, in the order of arrival.
        arrival: seconds since the start of the run.
        num_prompt_tokens: tokens of the prompt.
        num_output_tokens: tokens of the answer; the engine's to know, never a policy's.
        promise: what it is promised.
        app: the source it is from, whose answers' lengths are remembered together.
    """

    request_id: str
    arrival: float
    num_prompt_tokens: int
    num_output_tokens: int
    promise: Promise
    app: str


def generate(
    settings: WorkloadSettings, classes: QosClasses, *, rng: np.random.Generator
) -> tuple[WorkloadRequest, ...]:
    """Return the workload that the settings describe, in the order of arrival.

    A fresh generator with the same seed gives the same workload.

    Raises:
        WorkloadError: the settings do not fit the classes or the sources.
        TraceError: a trace file cannot be read.
    """
    promises, weights = _promises(settings, classes)
    sources = [load_source(name) for name in settings.workloads]
    demand_rng, class_rng, importance_rng = rng.spawn(3)
    stretch = _stretch(settings, sources, rng=demand_rng)
    num = len(stretch.arrivals)
    sizes = stretch.sizes.within(settings.context_tokens)
    unimportant = importance_rng.random(num) < (settings.low_importance or 0.0)
    columns = zip(
        stretch.arrivals.tolist(),
        sizes.num_prompt_tokens.tolist(),
        sizes.num_output_tokens.tolist(),
        map(promises.__getitem__, (2 * _choose(weights, num, rng=class_rng) + unimportant).tolist()),
        map([source.name for source in sources].__getitem__, stretch.origins.tolist()),
        strict=True,
    )
    return tuple(WorkloadRequest(f"r{index}", *column) for index, column in enumerate(columns))


def generate_seeded(settings: WorkloadSettings, classes: QosClasses, *, seed: int) -> tuple[WorkloadRequest, ...]:
    """Return the workload that the settings and a seed give, for callers that know no generators.

    Raises:
        WorkloadError: the settings do not fit the classes or the sources.
        TraceError: a trace file cannot be read.
    """
    return generate(settings, classes, rng=np.random.default_rng(seed))


def _promises(settings: WorkloadSettings, classes: QosClasses) -> tuple[list[Promise], Sequence[float]]:
    """Return two promises a class, the unimportant one second, and the weight of each class."""
    promises = [qos_class.promise() for qos_class in classes]
    weights = settings.mix or (1.0,) * len(promises)
    if not promises:
        raise WorkloadError("classes", "there are none", fix="declare at least one class")
    if len(weights) != len(promises):
        names = ":".join(promise.qos_class for promise in promises)
        raise WorkloadError(
            "mix", f"{len(weights)} weights for {len(promises)} classes", fix=f"give one for each of {names}"
        )
    if settings.low_importance is None:
        return [promise for promise in promises for _ in range(2)], weights
    levels = (Importance.HIGH, Importance.LOW)
    return [replace(promise, importance=level) for promise in promises for level in levels], weights


def _choose(weights: Sequence[float], num: int, *, rng: np.random.Generator) -> Counts:
    """Return `num` places in `weights`, each drawn by weight."""
    shares = np.cumsum(weights) / sum(weights)
    return np.searchsorted(shares[:-1], rng.random(num), side="right")


def _stretch(settings: WorkloadSettings, sources: Sequence[Source], *, rng: np.random.Generator) -> Stretch:
    match settings.arrivals:
        case Replayed(start=start):
            return _replayed(settings, sources, start=start, rng=rng)
        case Poisson() | Diurnal():
            arrivals_rng, sizes_rng = rng.spawn(2)
            arrivals = _drawn(settings, settings.arrivals, rng=arrivals_rng)
            return _sized(arrivals, sources, shares=settings.shares, rng=sizes_rng)


def _drawn(settings: WorkloadSettings, arrivals: Poisson | Diurnal, *, rng: np.random.Generator) -> Times:
    """Return random arrivals at the rates that were asked for."""
    curve = _curve(arrivals, settings.qps)
    _check_count(curve.mean * (settings.duration or 0.0))
    gap_cap = arrivals.gap_cap if isinstance(arrivals, Poisson) else None
    return draw_arrivals(curve, Until(settings.num_requests, settings.duration), rng=rng, gap_cap=gap_cap)


def _curve(arrivals: Poisson | Diurnal, qps: float | None) -> RateCurve:
    match arrivals:
        case Poisson():
            # The settings refuse Poisson arrivals without a rate.
            return RateCurve(1.0, (qps or 0.0,))
        case Diurnal(rates=rates, phase=phase):
            curve = RateCurve(phase, rates)
            return curve if qps is None else curve.scaled(qps / curve.mean)


def _sized(
    arrivals: Times, sources: Sequence[Source], *, shares: Sequence[float] | None, rng: np.random.Generator
) -> Stretch:
    """Return the arrivals with sizes, each from a source drawn by its share."""
    origins_rng, *sizes_rngs = rng.spawn(1 + len(sources))
    origins = _choose(shares or (1.0,) * len(sources), len(arrivals), rng=origins_rng)
    prompts, outputs = np.zeros_like(origins), np.zeros_like(origins)
    for place, (source, sizes_rng) in enumerate(zip(sources, sizes_rngs, strict=True)):
        mine = origins == place
        sizes = source.sizes(int(mine.sum()), sizes_rng)
        prompts[mine], outputs[mine] = sizes.num_prompt_tokens, sizes.num_output_tokens
    return Stretch(arrivals, Sizes(prompts, outputs), origins)


def _replayed(
    settings: WorkloadSettings, sources: Sequence[Source], *, start: float, rng: np.random.Generator
) -> Stretch:
    """Return the own arrivals of all sources together, sped up or slowed down to the rate that was asked for.

    With a rate, the stretch that is replayed has that very mean rate, however calm or busy the trace is there.
    """
    for source in sources:
        if source.period is not None and start >= source.period:
            problem = f"{source.name!r} ends before {start:g} s"
            raise WorkloadError("arrivals", problem, fix=f"start within {source.period:.0f} s")
    until = _replay_until(settings, sources, start=start)
    rngs = rng.spawn(len(sources))
    merged = Stretch.merged([s.replay(until, start=start, rng=r) for s, r in zip(sources, rngs, strict=True)])
    stretch = merged if until.num is None else merged.first(until.num)
    return stretch if settings.qps is None else stretch.at_rate(settings.qps)


def _replay_until(settings: WorkloadSettings, sources: Sequence[Source], *, start: float) -> Until:
    if settings.num_requests is not None:
        return Until(num=settings.num_requests)
    if settings.duration is not None and settings.qps is not None:
        _check_count(settings.qps * settings.duration)
        return Until(num=max(round(settings.qps * settings.duration), 1))
    seconds = settings.duration or max(source.period or 0.0 for source in sources) - start
    _check_count(seconds * sum(source.rate or 0.0 for source in sources))
    return Until(seconds=seconds)


def _check_count(expected: float) -> None:
    if expected > MAX_REQUESTS:
        raise WorkloadError("duration", f"{expected:.3g} requests are too many", fix=f"at most {MAX_REQUESTS} fit")
