"""What comes back from a generation, as values.

Times are seconds since the request's arrival at the router, measured there and where tokens are emitted: how far away
the client is, and how fast it reads, is not in them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from niyama.v1 import generation_pb2
from niyama_core.slo import Promise
from niyama_runtime.wire import duration_from_wire, promise_from_wire

__all__ = [
    "Accepted",
    "Completion",
    "FinishReason",
    "Relegation",
    "Token",
    "accepted_from_wire",
    "completion_from_wire",
    "tokens_from_wire",
]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer.

    Attributes:
        text: what it adds to the answer. Of several tokens that arrive as one, the last has the text of all, because
            letters may be made of more than one token.
        id: in the model's tokenizer.
        position: how many tokens of the answer came before it.
        emitted: seconds from the request's arrival until the engine emitted it.
    """

    text: str
    id: int
    position: int
    emitted: float

    def __str__(self) -> str:
        """Return the text."""
        return self.text


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request was taken on.

    Attributes:
        request_id: the client's own, or the one that the router made.
        promise: what was promised, in full.
        replica: who serves it first.
        engine: what computes there; `paced` means that no model runs.
        resume_token: with which the answer goes on at another router when this one is lost; empty when it cannot.
    """

    request_id: str
    promise: Promise
    replica: str
    engine: str
    resume_token: bytes = b""


class FinishReason(Enum):
    """Why a generation ended."""

    STOP = "stop"
    """The model, or a stop text, ended it."""
    LENGTH = "length"
    """`max_tokens` or the model's context was reached."""
    UNKNOWN = "unknown"


class Relegation(Enum):
    """When, if ever, a request was put behind all that could be on time."""

    NONE = "none"
    BEFORE_FIRST_TOKEN = "before_first_token"
    AFTER_FIRST_TOKEN = "after_first_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What happened to a request, in the end.

    Attributes:
        finish_reason: why it ended.
        qos_class: its class.
        replica: who finished it.
        engine: what computed there; `paced` means that no model ran.
        num_prompt_tokens: tokens of the prompt.
        num_cached_tokens: of those, the ones found in the prefix cache.
        num_output_tokens: tokens of the answer.
        ttft: seconds to the first token; None without one.
        largest_gap: seconds, the largest between two tokens; None with fewer than two.
        ttlt: seconds to the last token.
        num_late_tokens: tokens after their deadline; always 0 for batch promises.
        relegation: whether and when it was relegated.
        num_moves: how often it went to another replica.
        on_time: whether the promise was kept: the TTFT of an interactive one, the TTLT of a batch one.
    """

    finish_reason: FinishReason
    qos_class: str
    replica: str
    engine: str
    num_prompt_tokens: int
    num_cached_tokens: int
    num_output_tokens: int
    ttft: float | None
    largest_gap: float | None
    ttlt: float
    num_late_tokens: int
    relegation: Relegation
    num_moves: int
    on_time: bool


_FINISH_REASONS: Mapping[int, FinishReason] = {
    generation_pb2.FINISH_REASON_STOP: FinishReason.STOP,
    generation_pb2.FINISH_REASON_LENGTH: FinishReason.LENGTH,
}
_RELEGATIONS: Mapping[int, Relegation] = {
    generation_pb2.RELEGATION_BEFORE_FIRST_TOKEN: Relegation.BEFORE_FIRST_TOKEN,
    generation_pb2.RELEGATION_AFTER_FIRST_TOKEN: Relegation.AFTER_FIRST_TOKEN,
}


def tokens_from_wire(message: generation_pb2.Tokens) -> Iterator[Token]:
    """Yield the tokens of a message; a time that is missing is 0."""
    last = len(message.token_ids) - 1
    times = message.emitted_us
    for index, token_id in enumerate(message.token_ids):
        text = message.text if index == last else ""
        emitted = times[index] / 1e6 if index < len(times) else 0.0
        yield Token(text, token_id, message.position + index, emitted)


def accepted_from_wire(message: generation_pb2.Accepted) -> Accepted:
    """Return what the first message of a stream says.

    Raises:
        WireError: the promise is broken.
    """
    promise = promise_from_wire(message.promise)
    return Accepted(message.request_id, promise, message.replica, message.engine, message.resume_token)


def completion_from_wire(message: generation_pb2.Completion) -> Completion:
    """Return what the last message of a stream says.

    Raises:
        WireError: a duration is broken.
    """
    return Completion(
        finish_reason=_FINISH_REASONS.get(message.finish_reason, FinishReason.UNKNOWN),
        qos_class=message.qos_class,
        replica=message.replica,
        engine=message.engine,
        num_prompt_tokens=message.num_prompt_tokens,
        num_cached_tokens=message.num_cached_tokens,
        num_output_tokens=message.num_output_tokens,
        ttft=duration_from_wire(message.ttft, "ttft") if message.HasField("ttft") else None,
        largest_gap=duration_from_wire(message.largest_tbt, "largest_tbt") if message.HasField("largest_tbt") else None,
        ttlt=duration_from_wire(message.ttlt, "ttlt"),
        num_late_tokens=message.num_late_tokens,
        relegation=_RELEGATIONS.get(message.relegation, Relegation.NONE),
        num_moves=message.num_moves,
        on_time=message.on_time,
    )
