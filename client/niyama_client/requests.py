"""What a client asks for, and how that becomes a message of the wire.

What cannot be put on the wire at all (a time that is no number, an importance that does not exist) is refused here,
with the same error and the same field names as by the server. All else is for the server to judge: it knows the
classes, their bounds and the model's limits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict

from google.protobuf import duration_pb2
from niyama.v1 import generation_pb2, qos_pb2
from niyama_core.promise import QosAsk
from niyama_core.slo import Batch, Importance, Interactive
from niyama_runtime.grpc_channel import MAX_MESSAGE_BYTES
from niyama_runtime.wire import duration_to_wire, importance_to_wire

from niyama_client.errors import refusal
from niyama_client.routes import Mode

__all__ = ["ChatMessage", "GenerateOptions", "Prompt", "Qos", "Sampling", "generate_request", "mode_of"]

_MAX_UINT32 = 2**32 - 1


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation.

    Attributes:
        role: `system`, `user`, `assistant` or `tool`.
        content: its text.
    """

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen; whatever is None takes the model's default.

    Attributes:
        temperature: 0 is greedy.
        top_p: nucleus sampling, above 0 and at most 1.
        top_k: only the k likeliest tokens; 0 is all.
        seed: the same seed and prompt give the same answer.
        stop: generation ends before any of these texts.
        presence_penalty: from -2 to 2, against tokens that have appeared.
        frequency_penalty: from -2 to 2, by how often tokens have appeared.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


Prompt = str | Sequence[int] | Sequence[ChatMessage]
"""Text, token ids of the model's own tokenizer, or a conversation."""

Qos = str | Interactive | Batch | QosAsk
"""The name of a class, the times themselves, or a class with some of its times overridden."""


class GenerateOptions(TypedDict, total=False):
    """What else can be said of a generation; everything may be left out.

    Attributes:
        importance: `high` or `low`; left out, the class decides.
        app: application, for the history of output lengths; left out, the client's own.
        max_tokens: the most tokens to generate; left out, the cluster's default. A cap, not an estimate.
        request_id: at most 128 characters, for logs; made by the client when left out.
        sampling: how tokens are chosen.
        appointment: what an `OverloadedError` had in `metadata["appointment"]`, of the same request id: whoever comes
            back when told goes before those who come anew.
        timeout: seconds after which the call is given up, retries included; left out, never.
        mode: `routed`, `direct` or `auto`; left out, the client's own.
    """

    importance: Importance | Literal["high", "low"]
    app: str
    max_tokens: int
    request_id: str
    sampling: Sampling
    appointment: str
    timeout: float
    mode: Mode | Literal["routed", "direct", "auto"]


def mode_of(options: GenerateOptions, default: Mode) -> Mode:
    """Return which way tokens are to come.

    Raises:
        InvalidRequestError: there is no such mode.
    """
    mode = options.get("mode", default)
    try:
        return Mode(mode)
    except ValueError:
        raise refusal("mode", f"{mode!r} is unknown: choose one of {', '.join(m.value for m in Mode)}") from None


def generate_request(
    prompt: Prompt, qos: Qos | None, *, options: GenerateOptions, request_id: str, app: str
) -> generation_pb2.GenerateRequest:
    """Return the message of a generation; `app` is the client's, for when the options name none.

    Raises:
        InvalidRequestError: something in it cannot be put on the wire.
    """
    max_tokens = _max_tokens(options.get("max_tokens"))
    ask = _ask(qos, options.get("importance"))
    try:
        request = generation_pb2.GenerateRequest(
            request_id=request_id, app=options.get("app", app), max_tokens=max_tokens, qos=_qos_to_wire(ask)
        )
    except (TypeError, ValueError) as error:
        raise refusal("request", f"a name in it is no text that can travel: {error}") from error
    _set_prompt(request, prompt)
    if (sampling := options.get("sampling")) is not None:
        request.sampling.CopyFrom(_sampling_to_wire(sampling))
    if request.ByteSize() > MAX_MESSAGE_BYTES:
        raise refusal("prompt", f"takes {request.ByteSize():,} bytes: at most {MAX_MESSAGE_BYTES:,} can travel")
    return request


def _max_tokens(max_tokens: int | None) -> int | None:
    if max_tokens is not None and not 1 <= max_tokens <= _MAX_UINT32:
        raise refusal("max_tokens", f"{max_tokens} is out of bounds: ask for at least 1")
    return max_tokens


def _ask(qos: Qos | None, importance: Importance | str | None) -> QosAsk:
    ask = _times(qos)
    return ask if importance is None else replace(ask, importance=_importance(importance))


def _times(qos: Qos | None) -> QosAsk:
    match qos:
        case None:
            return QosAsk()
        case str():
            return QosAsk(qos)
        case Interactive(ttft=ttft, tbt=tbt):
            return QosAsk(ttft=ttft, tbt=tbt)
        case Batch(ttlt=ttlt):
            return QosAsk(ttlt=ttlt)
        case QosAsk():
            return qos


def _importance(importance: Importance | str) -> Importance:
    try:
        return Importance(importance)
    except ValueError:
        raise refusal("qos.importance", f"{importance!r} is unknown: choose high or low") from None


def _qos_to_wire(ask: QosAsk) -> qos_pb2.Qos:
    return qos_pb2.Qos(
        qos_class=ask.qos_class or "",
        ttft=_duration("qos.ttft", ask.ttft),
        tbt=_duration("qos.tbt", ask.tbt),
        ttlt=_duration("qos.ttlt", ask.ttlt),
        importance=qos_pb2.IMPORTANCE_UNSPECIFIED if ask.importance is None else importance_to_wire(ask.importance),
    )


def _duration(field: str, seconds: float | None) -> duration_pb2.Duration | None:
    if seconds is None:
        return None
    try:
        return duration_to_wire(seconds)
    except ValueError:
        raise refusal(field, f"{seconds} is no number of seconds that can be promised") from None


def _set_prompt(request: generation_pb2.GenerateRequest, prompt: Prompt) -> None:
    try:
        if isinstance(prompt, str):
            request.prompt = prompt
        elif prompt and isinstance(prompt[0], ChatMessage | Mapping):
            request.chat.messages.extend(map(_message_to_wire, prompt))
        else:
            request.prompt_tokens.ids.extend(prompt)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise refusal("prompt", f"must be text, token ids or chat messages: {error}") from error


def _message_to_wire(message: object) -> generation_pb2.ChatMessage:
    match message:
        case ChatMessage(role=role, content=content) | {"role": str(role), "content": str(content)}:
            return generation_pb2.ChatMessage(role=role, content=content)
        case _:
            raise refusal("chat.messages", f"{message!r} is no message: give a role and a content")


def _sampling_to_wire(sampling: Sampling) -> generation_pb2.Sampling:
    try:
        return generation_pb2.Sampling(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            seed=sampling.seed,
            stop=sampling.stop,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
        )
    except (TypeError, ValueError) as error:
        raise refusal("sampling", str(error)) from error
