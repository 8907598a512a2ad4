"""Things to test with: each builder makes something ordinary, and takes what a test is about.

Times are seconds, lengths are tokens. `a_request()` is the published interactive class on a page of prompt.
"""

from dataclasses import dataclass

from niyama_core.latency import IterationShape, LatencyModel
from niyama_core.load import ClassLoad, ReplicaLoad
from niyama_core.planner import IterationPlanner
from niyama_core.policies import SchedulerSettings, build_policy
from niyama_core.profiles import PROFILES, LatencyProfile
from niyama_core.request import LiveRequest, Request
from niyama_core.slo import Batch, Importance, Interactive, OnOverload, Promise

A100 = PROFILES["a100-llama3-8b"]


@dataclass(frozen=True, slots=True)
class SteadyLaw:
    """A machine that is easy to reckon with: so many seconds an iteration, and so many for each token in it."""

    seconds: float = 0.01
    seconds_per_token: float = 0.0001

    def iteration_time(self, shape: IterationShape) -> float:
        return self.seconds + self.seconds_per_token * (shape.prefill_tokens + shape.num_decodes)


def a_request(
    request_id: str = "request",
    *,
    ttft: float = 6.0,
    tbt: float = 0.05,
    arrival: float = 0.0,
    prompt: int = 1000,
    max_output: int = 1000,
    importance: Importance = Importance.HIGH,
    on_overload: OnOverload = OnOverload.RELEGATE,
    app: str = "",
    relegated: bool = False,
) -> Request:
    """Return an interactive request of class `chat`."""
    promise = Promise("chat", Interactive(ttft, tbt), importance, on_overload)
    return Request(request_id, promise, arrival, prompt, max_output, app, relegated)


def a_batch_request(
    request_id: str = "job",
    *,
    ttlt: float = 600.0,
    arrival: float = 0.0,
    prompt: int = 1000,
    max_output: int = 1000,
    importance: Importance = Importance.HIGH,
    on_overload: OnOverload = OnOverload.RELEGATE,
    app: str = "",
    relegated: bool = False,
) -> Request:
    """Return a batch request of class `summarise`."""
    promise = Promise("summarise", Batch(ttlt), importance, on_overload)
    return Request(request_id, promise, arrival, prompt, max_output, app, relegated)


def a_live_request(
    request: Request | None = None, *, expected_output: int = 100, decode_seconds: float = 0.0, turn: int = 0
) -> LiveRequest:
    """Return the planner's record of a request that has just arrived."""
    return LiveRequest(request or a_request(), expected_output, decode_seconds, turn)


def a_planner(
    policy: str = "niyama",
    *,
    predictor: LatencyModel = A100.predictor,
    alpha: float | None = None,
    safety: float = 1.2,
    token_budget: int = 256,
    max_num_seqs: int = 1000,
    max_token_budget: int | None = None,
) -> IterationPlanner:
    """Return an idle planner on an A100."""
    settings = SchedulerSettings(policy, alpha, safety, token_budget, max_num_seqs, max_token_budget)
    return IterationPlanner(build_policy(settings, predictor), predictor, max_num_seqs=max_num_seqs)


def a_load(name: str = "a", *, rate: float = 1000.0, iteration: float = 0.02, **queued: int) -> ReplicaLoad:
    """Return the load of a replica on which so many prompt tokens of each class wait."""
    by_class = {
        qos_class: ClassLoad(queued_prefill_tokens=tokens, num_queued=1) for qos_class, tokens in queued.items()
    }
    return ReplicaLoad(name, f"{name}:1", classes=by_class, prefill_tokens_per_second=rate, iteration_seconds=iteration)


def a_profile(speed: float = 1.0) -> LatencyProfile:
    """Return the A100 profile, of a machine `speed` times as fast."""
    return A100.at_speed(speed)
