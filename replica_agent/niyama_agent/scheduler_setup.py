"""What the agent tells the scheduler in the engine's process when it starts, in the plain values that get through.

vLLM hands `additional_config`, a JSON object, to whatever its configuration reaches, and `SamplingParams.extra_args` of
a request to the scheduler's record of it. Ours lie in both under one key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from niyama_core.json_records import Json, read_record, write_record
from niyama_core.latency import LatencyModel
from niyama_core.policies import SchedulerSettings
from niyama_core.profile_document import parse_profile, profile_document
from niyama_core.profiles import PROFILES, LatencyProfile
from niyama_core.request import Request

__all__ = ["HANDED_BACK", "KEY", "RequestTag", "SchedulerSetup", "bounded", "read_setup", "setup_document", "tagged"]

KEY = "niyama"
"""Under which our values lie."""

HANDED_BACK = "niyama_handed_back"
"""The stop reason of a request that was handed back untouched."""

_DEFAULT_PROFILE = "a100-llama3-8b"


@dataclass(frozen=True, slots=True)
class SchedulerSetup:
    """How the scheduler in the engine's process plans, and whom it tells.

    Attributes:
        scheduler: the policy and its settings.
        predictor: what the predictor starts from.
        reports: address that reports go to; None when nobody listens.
        orders: address that orders come from; None when nobody gives any.
    """

    scheduler: SchedulerSettings
    predictor: LatencyModel
    reports: str | None = None
    orders: str | None = None


@dataclass(frozen=True, slots=True)
class RequestTag:
    """What travels with a request to the scheduler: what the planner is told, and how the agent calls it."""

    request: Request
    name: str


def read_setup(additional: object) -> SchedulerSetup:
    """Return the setup in an engine's additional configuration; the default of everything that is not there.

    Raises:
        JsonRecordError: the scheduler's settings are no such settings.
        ManifestError: the profile is no profile.
    """
    ours = additional.get(KEY, {}) if isinstance(additional, Mapping) else {}
    scheduler, profile = ours.get("scheduler"), ours.get("profile")
    return SchedulerSetup(
        scheduler=read_record(SchedulerSettings, scheduler) if scheduler else SchedulerSettings(),
        predictor=parse_profile(profile).predictor if profile else PROFILES[_DEFAULT_PROFILE].predictor,
        reports=ours.get("reports"),
        orders=ours.get("orders"),
    )


def bounded(settings: SchedulerSettings, *, most_tokens: int, most_sequences: int) -> SchedulerSettings:
    """Return settings under which no plan asks for more than an engine can run in a step.

    Args:
        settings: as they were asked for.
        most_tokens: of a step.
        most_sequences: that run at once.
    """
    return replace(
        settings,
        token_budget=min(settings.token_budget, most_tokens),
        max_token_budget=min(settings.max_token_budget or most_tokens, most_tokens),
        max_num_seqs=min(settings.max_num_seqs, most_sequences),
    )


def setup_document(
    scheduler: SchedulerSettings, profile: LatencyProfile, *, reports: str | None = None, orders: str | None = None
) -> dict[str, object]:
    """Return the additional configuration that `read_setup` reads.

    Raises:
        TypeError: documents have no form for one of the profile's models.
    """
    ours = {"scheduler": write_record(scheduler), "profile": profile_document(profile)}
    return {KEY: {**ours, "reports": reports, "orders": orders}}


def tagged(request: Request, name: str) -> dict[str, Json]:
    """Return what a request carries to the scheduler."""
    return {KEY: write_record(RequestTag(request, name))}
