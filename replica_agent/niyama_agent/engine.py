"""What the agent knows of an engine: what goes in, the events that come out, and the protocol between.

Everything above this line (the gRPC service, load reports, drain) works with any engine; everything below is one:
`paced_engine` computes nothing and takes the time that a latency profile says, `vllm_engine` runs a model. Events
are values, taken apart by `match`; the last of a request is one of `LastEvent`.

    EngineError
    ├── DuplicateRequestError   a live request has the same id
    ├── RequestRefusedError     the engine cannot serve such a request
    ├── EngineStartError        it cannot be made ready
    └── EngineDiedError         nothing that was begun will go on
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from niyama_core.latency import LatencyModel
from niyama_core.load import ClassLoad
from niyama_core.policies import SchedulerSettings
from niyama_core.rates import MeasuredRates
from niyama_core.request import Request

from niyama_agent.tokenizer import Tokenizer

__all__ = [
    "AbortReason",
    "Aborted",
    "Admitted",
    "DrainCounts",
    "DuplicateRequestError",
    "Engine",
    "EngineDiedError",
    "EngineError",
    "EngineEvent",
    "EngineFacts",
    "EngineLoad",
    "EngineRequest",
    "EngineStartError",
    "FinishReason",
    "Finished",
    "HandBackReason",
    "HandedBack",
    "LastEvent",
    "Relegated",
    "RequestRefusedError",
    "Sampling",
    "TokensEmitted",
]


class EngineError(Exception):
    """An engine cannot serve a request."""


class DuplicateRequestError(EngineError):
    """A live request has the same id."""


class RequestRefusedError(EngineError):
    """The engine cannot serve such a request, now or later; the message says why."""


class EngineStartError(EngineError):
    """An engine cannot be made ready; the message says what to do."""


class EngineDiedError(EngineError):
    """The engine has ended; nothing that was begun will go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen; None and empty mean the model's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """A request as an engine takes it.

    Attributes:
        request: what the planner is told. Its prompt tokens include `emitted_token_ids`, its cap on the answer does
            not.
        prompt_token_ids: what to go on from.
        sampling: how tokens are chosen.
        emitted_token_ids: tokens of the answer that the client has already; the answer goes on behind them.
        replay_output_tokens: length of the whole answer, for replay; None lets the engine end it.
    """

    request: Request
    prompt_token_ids: Sequence[int]
    sampling: Sampling = field(default_factory=Sampling)
    emitted_token_ids: tuple[int, ...] = ()
    replay_output_tokens: int | None = None


class HandBackReason(Enum):
    """Why a request was given back untouched."""

    DRAINING = "draining"
    NO_CAPACITY = "no_capacity"


class FinishReason(Enum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"


class AbortReason(Enum):
    """Who ended a request before its answer was whole."""

    ASKED = "asked"
    DRAIN_GRACE_OVER = "drain_grace_over"


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request was taken on. The first event, unless the request is handed back."""


@dataclass(frozen=True, slots=True)
class TokensEmitted:
    """One or more tokens, in order; more than one when the reader is slower than the engine.

    Attributes:
        position: how many tokens of the answer came before the first of these.
        token_ids: the tokens.
        text: their text.
        emitted_at: the instant that each was emitted, on the agent's clock.
    """

    position: int
    token_ids: tuple[int, ...]
    text: str
    emitted_at: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Relegated:
    """The promise can no longer be kept here; the request stays, behind all that can be on time."""

    before_first_token: bool


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The request is given back; nothing of it was computed."""

    reason: HandBackReason


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole; `num_output_tokens` counts those that were emitted elsewhere too."""

    reason: FinishReason
    num_output_tokens: int
    num_cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Aborted:
    """The request was ended before its answer was whole."""

    reason: AbortReason


LastEvent = HandedBack | Finished | Aborted
EngineEvent = Admitted | TokensEmitted | Relegated | LastEvent


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine is.

    Attributes:
        name: `paced` means that no model runs.
        version: of the engine.
        profile: latency profile that the scheduler started from.
        scheduler: the policy and its settings.
        context_tokens: the longest prompt plus answer that the engine takes.
        kv_capacity_tokens: tokens that the KV cache holds.
        replay: whether it takes `replay_output_tokens`.
    """

    name: str
    version: str
    profile: str
    scheduler: SchedulerSettings
    context_tokens: int
    kv_capacity_tokens: int
    replay: bool


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How loaded an engine is; the fields are those of `niyama_core.load.ReplicaLoad`, and two that only it can count.

    Attributes:
        num_unplanned: requests so far that ran in the engine's own order, because no plan can hold them.
        num_unreported: iterations so far of which no record came out of the engine's process.
    """

    classes: Mapping[str, ClassLoad]
    tightest_slack: float | None
    prefill_tokens_per_second: float
    iteration_seconds: float
    kv_used_tokens: int
    kv_free_tokens: int
    draining: bool
    num_unplanned: int = 0
    num_unreported: int = 0

    @classmethod
    def idle(cls, predictor: LatencyModel, *, kv_tokens: int) -> "EngineLoad":
        """Return the load of an engine that has not served anybody yet, with the rates that a predictor expects."""
        rates = MeasuredRates(predictor)
        return cls(
            classes={},
            tightest_slack=None,
            prefill_tokens_per_second=rates.prefill_rate,
            iteration_seconds=rates.iteration_time,
            kv_used_tokens=0,
            kv_free_tokens=kv_tokens,
            draining=False,
        )


@dataclass(frozen=True, slots=True)
class DrainCounts:
    """What a drain found: requests handed back, and requests that run on."""

    num_handed_back: int
    num_running: int


class Engine(Protocol):
    """Turns prompts into tokens, iteration by iteration."""

    @property
    def facts(self) -> EngineFacts:
        """What the engine is; known once it is ready."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """How the engine's model reads text; known once it is ready."""
        ...

    async def start(self) -> None:
        """Be made ready to serve: load a model, where there is one.

        Raises:
            EngineStartError: it cannot be.
        """
        ...

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            EngineDiedError: the engine has ended by itself.
        """
        ...

    def generate(self, request: EngineRequest) -> AsyncGenerator[EngineEvent, None]:
        """Yield the events of a request, the last of them a `LastEvent`. Closing it frees all that it holds.

        Raises:
            DuplicateRequestError: a live request has the same id.
            RequestRefusedError: the engine cannot serve such a request.
            EngineDiedError: the engine has ended.
            EngineError: the engine failed at this request alone.
        """
        ...

    async def abort(self, request_id: str, reason: AbortReason) -> bool:
        """End a request in whatever state; return whether it was live."""
        ...

    def load(self, now: float) -> EngineLoad:
        """Return how loaded the engine is."""
        ...

    def drain(self) -> DrainCounts:
        """Take nothing new, hand back what has not begun, let the rest run on. Doing it again finds what is left."""
        ...

    def reschedule(self, scheduler: SchedulerSettings) -> None:
        """Schedule by other settings from the next iteration on."""
        ...
