"""The scheduling policies by name, each put together from an order, a budget and a rule of relegation.

A policy is data: which small rules it uses. To add one, write its rules (one file) and name it here (one line).

Names: `sarathi-*` are the baselines, one queue and a fixed budget; `edf-chunking` is a step between them and `qoserve`,
the published algorithm; `niyama` is our best.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from niyama_core.calibration import CalibratedLatency
from niyama_core.chunking import ARTIFACT_GRID, WIDE_GRID, Chunking, FixedBudget, SlackGrid, grid_up_to
from niyama_core.delay_toll import DelayToll
from niyama_core.latency import LatencyModel
from niyama_core.priority import (
    DeadlineFirst,
    FirstCome,
    Hybrid,
    LatestPrefill,
    Priority,
    ShortestJob,
    ShortestRemainingPrefill,
)
from niyama_core.relegation import HintedRelegation, NoRelegation, Relegation

__all__ = ["POLICIES", "Policy", "SchedulerSettings", "build_policy", "build_predictor", "is_calibrated"]


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """What a manifest may say of a replica's scheduler.

    Attributes:
        policy: one of `POLICIES`.
        alpha: seconds by which each token of remaining work puts a request off, for policies that weigh work against
            deadlines; None for the policy's own value.
        safety: factor on predicted iteration times, for policies with dynamic chunking.
        token_budget: tokens an iteration, for policies with a fixed budget.
        max_num_seqs: the most requests that hold KV at once.
        max_token_budget: the most tokens an iteration, for policies with dynamic chunking; None for the policy's own.
        fairness: how many times as often as the mean the longest prompts may miss, for `niyama`; None bounds nothing.
        calibrated: whether the predictor learns from every iteration; None for the policy's own way, which is that it
            does with `niyama` alone. A replica that runs keeps it as it started.
        margin_quantile: the share of iterations that shall be over within the margin that a calibrated predictor
            measures, which then stands in place of `safety`; None keeps `safety`.
    """

    policy: str = "niyama"
    alpha: float | None = None
    safety: float = 1.2
    token_budget: int = 256
    max_num_seqs: int = 1000
    max_token_budget: int | None = None
    calibrated: bool | None = None
    margin_quantile: float | None = None
    fairness: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How a replica schedules.

    Attributes:
        name: how manifests name it.
        priority: order of waiting prefills.
        chunking: tokens an iteration.
        relegation: who goes behind all that can be on time.
        selective_preemption: whether a begun prefill that would miss by waiting goes before more urgent ones.
        patience: the share of the tightest TTFT of late that an iteration may take; infinite for any time.
    """

    name: str
    priority: Priority
    chunking: Chunking
    relegation: Relegation
    selective_preemption: bool = False
    patience: float = math.inf

    def at_speed(self, speed: float) -> "Policy":
        """Return the policy for a machine `speed` times as fast: a token of work puts a request off by less time."""
        match self.priority:
            case LatestPrefill(alpha=alpha) | Hybrid(alpha=alpha):
                return replace(self, priority=replace(self.priority, alpha=alpha / speed))
            case _:
                return self


_Builder = Callable[[SchedulerSettings, LatencyModel], Policy]


def _safe_times(settings: SchedulerSettings, predictor: LatencyModel) -> tuple[LatencyModel, float]:
    """Return by which model, times which factor, iterations must fit the slack: by the measured margin or the fixed."""
    if settings.margin_quantile is not None and isinstance(predictor, CalibratedLatency):
        return predictor.with_margin(), 1.0
    return predictor, settings.safety


def _sarathi(priority: Priority) -> _Builder:
    def build(settings: SchedulerSettings, predictor: LatencyModel) -> Policy:
        return Policy(settings.policy, priority, FixedBudget(settings.token_budget), NoRelegation())

    return build


def _edf_chunking(settings: SchedulerSettings, predictor: LatencyModel) -> Policy:
    """Return what dynamic chunking alone makes of a deadline-driven queue: a step of the published ablation."""
    model, safety = _safe_times(settings, predictor)
    grid = grid_up_to(settings.max_token_budget or ARTIFACT_GRID[-1])
    return Policy(settings.policy, DeadlineFirst(), SlackGrid(model, grid, safety), NoRelegation())


def _niyama(settings: SchedulerSettings, predictor: LatencyModel) -> Policy:
    order = DelayToll(settings.fairness) if settings.alpha is None else LatestPrefill(settings.alpha)
    grid = grid_up_to(settings.max_token_budget or WIDE_GRID[-1], WIDE_GRID)
    return replace(_deadline_driven(settings, predictor, order=order, grid=grid), patience=0.25)


def _qoserve(settings: SchedulerSettings, predictor: LatencyModel) -> Policy:
    order = Hybrid(0.008 if settings.alpha is None else settings.alpha)
    grid = grid_up_to(settings.max_token_budget or ARTIFACT_GRID[-1])
    return _deadline_driven(settings, predictor, order=order, grid=grid)


def _deadline_driven(
    settings: SchedulerSettings, predictor: LatencyModel, *, order: Priority, grid: tuple[int, ...]
) -> Policy:
    model, safety = _safe_times(settings, predictor)
    return Policy(settings.policy, order, SlackGrid(model, grid, safety), HintedRelegation(), selective_preemption=True)


POLICIES: Mapping[str, _Builder] = MappingProxyType(
    {
        "niyama": _niyama,
        "qoserve": _qoserve,
        "sarathi-fcfs": _sarathi(FirstCome()),
        "sarathi-edf": _sarathi(DeadlineFirst()),
        "sarathi-srpf": _sarathi(ShortestRemainingPrefill()),
        "sarathi-sjf": _sarathi(ShortestJob()),
        "edf-chunking": _edf_chunking,
    }
)


def is_calibrated(settings: SchedulerSettings) -> bool:
    """Return whether a replica's predictor learns from every iteration."""
    return settings.policy == "niyama" if settings.calibrated is None else settings.calibrated


def build_predictor(settings: SchedulerSettings, predictor: LatencyModel) -> LatencyModel:
    """Return what one replica predicts with: `predictor`, or one of its own that begins as that and learns."""
    if not is_calibrated(settings):
        return predictor
    if settings.margin_quantile is None:
        return CalibratedLatency(predictor)
    return CalibratedLatency(predictor, quantile=settings.margin_quantile)


def build_policy(settings: SchedulerSettings, predictor: LatencyModel) -> Policy:
    """Return the policy that `settings` names.

    Raises:
        ValueError: there is no policy of that name.
    """
    builder = POLICIES.get(settings.policy)
    if builder is None:
        raise ValueError(f"scheduler.policy {settings.policy!r} is unknown: choose one of {', '.join(POLICIES)}")
    return builder(settings, predictor)
