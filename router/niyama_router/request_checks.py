"""What can be wrong with the fields of a `GenerateRequest`, apart from its promise.

Each check looks at one part and yields every violation that it finds, so that a client hears of all of them at once.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from niyama.v1 import generation_pb2, qos_pb2
from niyama_core.promise import QosAsk
from niyama_runtime import wire
from niyama_runtime.grpc_channel import MAX_MESSAGE_BYTES
from niyama_runtime.status import FieldViolation

from niyama_router.call_metadata import MAX_NAME_CHARACTERS

__all__ = ["MAX_REQUEST_BYTES", "Limits", "check_frame", "check_request", "estimate_prompt_tokens", "read_qos"]

MAX_REQUEST_BYTES = MAX_MESSAGE_BYTES - 64 * 1024
"""The largest request: it travels on to a replica with its promise around it, and both must fit."""

_ROLES = frozenset(("system", "user", "assistant", "tool"))
# What a chat template puts around each turn: two or three special tokens and the role.
_TEMPLATE_TOKENS = 4
# The ratio of bytes to tokens is a mean. A text that fits at twice that ratio may fit; the replica, which owns the
# tokenizer, knows.
_MOST_DOUBT = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may ask for at most.

    Attributes:
        model: served model name.
        max_output_tokens: the most tokens that one request may generate.
        context_tokens: the longest prompt plus answer; 0 while nobody knows.
        bytes_per_token: mean bytes of text for each token.
        replay: whether `replay_output_tokens` is taken.
    """

    model: str
    max_output_tokens: int
    context_tokens: int
    bytes_per_token: float
    replay: bool


def check_request(
    request: generation_pb2.GenerateRequest, limits: Limits, *, num_prompt_tokens: int
) -> Iterator[FieldViolation]:
    """Yield what is wrong with a request whose prompt is estimated at so many tokens."""
    yield from _check_size(request)
    yield from _check_input(request)
    yield from check_frame(request, limits, num_prompt_tokens=num_prompt_tokens)
    if request.HasField("sampling"):
        yield from _check_sampling(request.sampling)


def check_frame(
    request: generation_pb2.GenerateRequest, limits: Limits, *, num_prompt_tokens: int
) -> Iterator[FieldViolation]:
    """Yield what is wrong with names and lengths, whatever the prompt."""
    yield from _check_names(request, limits)
    yield from _check_lengths(request, limits, num_prompt_tokens=num_prompt_tokens)


def estimate_prompt_tokens(request: generation_pb2.GenerateRequest, bytes_per_token: float) -> int:
    """Return the length of the prompt: exact for token ids, by the tokenizer's mean ratio for text."""
    kind: Literal["prompt", "prompt_tokens", "chat"] | None = request.WhichOneof("input")
    match kind:
        case "prompt_tokens":
            return len(request.prompt_tokens.ids)
        case "prompt":
            return math.ceil(_num_bytes(request.prompt) / bytes_per_token)
        case "chat":
            turns = request.chat.messages
            text = sum(_num_bytes(turn.content) for turn in turns)
            return math.ceil(text / bytes_per_token) + _TEMPLATE_TOKENS * len(turns)
        case None:
            return 0


def read_qos(qos: qos_pb2.Qos) -> tuple[QosAsk, list[FieldViolation]]:
    """Return what the message asks for, and the fields that cannot be read."""
    violations: list[FieldViolation] = []
    seconds: dict[str, float | None] = {"ttft": None, "tbt": None, "ttlt": None}
    importance = None
    try:
        importance = wire.importance_from_wire(qos.importance, "qos.importance")
    except wire.WireError as error:
        violations.append(FieldViolation(error.field, error.problem))
    for field in seconds:
        if not qos.HasField(field):
            continue
        try:
            seconds[field] = wire.duration_from_wire(getattr(qos, field), f"qos.{field}")
        except wire.WireError as error:
            violations.append(FieldViolation(error.field, error.problem))
    return QosAsk(qos_class=qos.qos_class or None, importance=importance, **seconds), violations


def _check_size(request: generation_pb2.GenerateRequest) -> Iterator[FieldViolation]:
    num_bytes = request.ByteSize()
    if num_bytes > MAX_REQUEST_BYTES:
        field = request.WhichOneof("input") or "prompt"
        yield FieldViolation(field, f"makes a message of {num_bytes} bytes: at most {MAX_REQUEST_BYTES}")


def _check_names(request: generation_pb2.GenerateRequest, limits: Limits) -> Iterator[FieldViolation]:
    for field, name in (("request_id", request.request_id), ("app", request.app)):
        if len(name) > MAX_NAME_CHARACTERS:
            yield FieldViolation(field, f"has {len(name)} characters: at most {MAX_NAME_CHARACTERS}")
    if request.model and request.model != limits.model:
        yield FieldViolation("model", f"{request.model[:80]!r} is not served here: leave it out or say {limits.model}")


def _check_input(request: generation_pb2.GenerateRequest) -> Iterator[FieldViolation]:
    kind: Literal["prompt", "prompt_tokens", "chat"] | None = request.WhichOneof("input")
    match kind:
        case None:
            yield FieldViolation("prompt", "is required: give prompt, prompt_tokens or chat")
        case "prompt":
            if not request.prompt:
                yield FieldViolation("prompt", "is empty: give at least one character")
        case "prompt_tokens":
            if not request.prompt_tokens.ids:
                yield FieldViolation("prompt_tokens.ids", "is empty: give at least one token")
        case "chat":
            yield from _check_chat(request.chat)


def _check_chat(chat: generation_pb2.Chat) -> Iterator[FieldViolation]:
    if not any(turn.content for turn in chat.messages):
        yield FieldViolation("chat.messages", "is empty: give at least one turn with content")
    for index, turn in enumerate(chat.messages):
        if turn.role not in _ROLES:
            allowed = ", ".join(sorted(_ROLES))
            yield FieldViolation(f"chat.messages[{index}].role", f"{turn.role[:40]!r} is unknown: use one of {allowed}")


def _check_lengths(
    request: generation_pb2.GenerateRequest, limits: Limits, *, num_prompt_tokens: int
) -> Iterator[FieldViolation]:
    if request.HasField("max_tokens") and not 1 <= request.max_tokens <= limits.max_output_tokens:
        allowed = f"from 1 to {limits.max_output_tokens}, or left out"
        yield FieldViolation("max_tokens", f"must be {allowed}, not {request.max_tokens}")
    if request.replay_output_tokens and not limits.replay:
        yield FieldViolation("replay_output_tokens", "is refused: this router was not started for replay")
    is_exact = request.HasField("prompt_tokens")
    longest = limits.context_tokens if is_exact else limits.context_tokens * _MOST_DOUBT
    # One token of the context is for the answer.
    if limits.context_tokens and num_prompt_tokens >= longest:
        about = "" if is_exact else "about "
        field = request.WhichOneof("input") or "prompt"
        yield FieldViolation(
            field,
            f"has {about}{num_prompt_tokens} tokens: "
            f"the model's context holds {limits.context_tokens}, answer included",
        )


def _check_sampling(sampling: generation_pb2.Sampling) -> Iterator[FieldViolation]:
    if sampling.HasField("temperature") and not 0 <= sampling.temperature <= 2:
        yield FieldViolation("sampling.temperature", f"{sampling.temperature:g} is out of range: 0 to 2")
    if sampling.HasField("top_p") and not 0 < sampling.top_p <= 1:
        yield FieldViolation("sampling.top_p", f"{sampling.top_p:g} is out of range: above 0 and at most 1")
    penalties = (("presence_penalty", sampling.presence_penalty), ("frequency_penalty", sampling.frequency_penalty))
    for field, penalty in penalties:
        if not -2 <= penalty <= 2:
            yield FieldViolation(f"sampling.{field}", f"{penalty:g} is out of range: -2 to 2")
    for index, text in enumerate(sampling.stop):
        if not text:
            yield FieldViolation(f"sampling.stop[{index}]", "is empty: a stop text has at least one character")


def _num_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
