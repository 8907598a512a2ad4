"""From the message that a router sends to a request that an engine takes; or all that is wrong with it.

Everything that a client could get wrong is caught here, before the engine knows of the request, and answered with
the path of the field and what is allowed.
"""

import math
from array import array
from collections.abc import Iterator

from google.protobuf import duration_pb2
from niyama.v1 import generation_pb2, replica_pb2
from niyama_core.request import Request
from niyama_core.slo import Batch, Interactive, Promise, Slo
from niyama_core.units import format_duration
from niyama_runtime import wire
from niyama_runtime.clock import Clock
from niyama_runtime.status import FieldViolation

from niyama_agent.engine import Engine, EngineRequest, Sampling
from niyama_agent.lease_gate import LeaseGate
from niyama_agent.settings import Limits
from niyama_agent.tokenizer import ChatPrompt, ChatTurn, Prompt, PromptError, TextPrompt, TokenPrompt

__all__ = ["Intake", "InvalidRequestError"]

MAX_REQUEST_ID_CHARACTERS = 128
_MOST_SECONDS = 7 * 86400.0
_ROLES = ("system", "user", "assistant", "tool")
_Violations = list[FieldViolation]


class InvalidRequestError(ValueError):
    """A request cannot be served as it is; `violations` names every field that is wrong."""

    def __init__(self, violations: _Violations) -> None:
        """Keep the violations."""
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))
        self.violations = tuple(violations)


class Intake:
    """Reads requests for one engine.

    Args:
        engine: that is served; asked for its facts and its tokenizer when a request comes.
        model: served model name.
        limits: what one request may ask for.
        clock: by which arrivals are stamped.
        gate: lets requests in.
    """

    def __init__(self, engine: Engine, *, model: str, limits: Limits, clock: Clock, gate: LeaseGate) -> None:
        """Be ready to read."""
        self._engine = engine
        self._model = model
        self._clock = clock
        self.gate = gate
        """Lets requests in; orders, too."""
        self.limits = limits
        """What one request may ask for; may be replaced at any time."""

    @property
    def context_tokens(self) -> int:
        """The longest prompt plus answer."""
        most = self._engine.facts.context_tokens
        return min(most, self.limits.context_tokens or most)

    async def read(self, message: replica_pb2.ReplicaGenerateRequest) -> EngineRequest:
        """Return the request that has just come in.

        Raises:
            InvalidRequestError: something about it is wrong; all of it is said.
            LeaseRefusedError: its sender may not begin it here.
        """
        now, asked = self._clock.now(), message.request
        self.gate.admit(message)
        violations = [*self._check_plain_fields(asked), *_check_sampling(asked.sampling)]
        prompt = _read_prompt(asked, violations)
        promise = _read_promise(message, violations)
        elapsed = _read_elapsed(message.elapsed, violations)
        if violations or prompt is None or promise is None:
            raise InvalidRequestError(violations)
        try:
            token_ids = await self._engine.tokenizer.encode(prompt)
        except PromptError as error:
            raise InvalidRequestError([FieldViolation(_input_field(asked), str(error))]) from error
        cap = self._answer_cap(message, len(token_ids))
        num_emitted = len(message.emitted_token_ids)
        request = Request(
            request_id=asked.request_id,
            promise=promise,
            arrival=now - elapsed,
            num_prompt_tokens=len(token_ids) + num_emitted,
            max_output_tokens=cap - num_emitted,
            app=asked.app,
            relegated=message.relegated,
        )
        return EngineRequest(
            request=request,
            prompt_token_ids=token_ids,
            sampling=_read_sampling(asked.sampling),
            emitted_token_ids=tuple(message.emitted_token_ids),
            replay_output_tokens=asked.replay_output_tokens or None,
        )

    def _check_plain_fields(self, asked: generation_pb2.GenerateRequest) -> Iterator[FieldViolation]:
        most = self.limits.max_output_tokens
        if not asked.request_id:
            yield FieldViolation("request.request_id", "is empty: every request needs an id of its own")
        if len(asked.request_id) > MAX_REQUEST_ID_CHARACTERS:
            yield FieldViolation("request.request_id", f"must have at most {MAX_REQUEST_ID_CHARACTERS} characters")
        if asked.model not in ("", self._model):
            yield FieldViolation("request.model", f"{asked.model!r} is not served here: use {self._model!r}")
        if asked.HasField("max_tokens") and not 1 <= asked.max_tokens <= most:
            yield FieldViolation("request.max_tokens", f"must be from 1 to {most}, not {asked.max_tokens}")
        if asked.replay_output_tokens and not self._engine.facts.replay:
            yield FieldViolation("request.replay_output_tokens", "must be 0: this server was not started for replay")

    def _answer_cap(self, message: replica_pb2.ReplicaGenerateRequest, num_prompt_tokens: int) -> int:
        """Return the most tokens that the answer may have: what is asked for, as far as the context allows.

        Raises:
            InvalidRequestError: the prompt leaves no room, or more is asked for than could be.
        """
        asked, kv_tokens = message.request, self._engine.facts.kv_capacity_tokens
        room = min(self.context_tokens, kv_tokens) - num_prompt_tokens
        if room < 1:
            problem = f"has {num_prompt_tokens} tokens: at most {num_prompt_tokens + room - 1} leave room for an answer"
            raise InvalidRequestError([FieldViolation(_input_field(asked), problem)])
        if num_prompt_tokens + asked.max_tokens > kv_tokens:
            problem = f"with {num_prompt_tokens} prompt tokens at most {room}: the KV cache holds {kv_tokens}"
            raise InvalidRequestError([FieldViolation("request.max_tokens", problem)])
        cap = min(asked.max_tokens or self.limits.max_output_tokens, room)
        lengths = {
            "request.replay_output_tokens": asked.replay_output_tokens,
            "emitted_token_ids": len(message.emitted_token_ids),
        }
        problem = f"must be at most {cap} tokens, the most that the answer may have"
        violations = [FieldViolation(field, problem) for field, length in lengths.items() if length > cap]
        if violations:
            raise InvalidRequestError(violations)
        return cap


def _input_field(asked: generation_pb2.GenerateRequest) -> str:
    return f"request.{asked.WhichOneof('input') or 'prompt'}"


def _read_prompt(asked: generation_pb2.GenerateRequest, violations: _Violations) -> Prompt | None:
    """Return the prompt; None when there is none, with a violation."""
    match asked.WhichOneof("input"):
        case "prompt" if asked.prompt:
            return TextPrompt(asked.prompt)
        case "prompt_tokens" if asked.prompt_tokens.ids:
            return TokenPrompt(array("I", asked.prompt_tokens.ids))
        case "chat" if asked.chat.messages:
            return _read_chat(asked.chat, violations)
        case _:
            problem = "is empty: give a prompt, prompt_tokens or chat with something in it"
            violations.append(FieldViolation(_input_field(asked), problem))
            return None


def _read_chat(chat: generation_pb2.Chat, violations: _Violations) -> ChatPrompt:
    for index, turn in enumerate(chat.messages):
        if turn.role not in _ROLES:
            field = f"request.chat.messages[{index}].role"
            violations.append(FieldViolation(field, f"{turn.role!r} is unknown: choose one of {', '.join(_ROLES)}"))
    return ChatPrompt(tuple(ChatTurn(turn.role, turn.content) for turn in chat.messages))


def _read_promise(message: replica_pb2.ReplicaGenerateRequest, violations: _Violations) -> Promise | None:
    """Return the promise; None when it is missing or wrong, with a violation."""
    if not message.HasField("promise"):
        violations.append(FieldViolation("promise", "is missing: routers send promises in full"))
        return None
    try:
        promise = wire.promise_from_wire(message.promise)
    except wire.WireError as error:
        violations.append(FieldViolation(f"promise.{error.field}", error.problem))
        return None
    for field, seconds in _times(promise.slo):
        if seconds > _MOST_SECONDS:
            violations.append(FieldViolation(field, f"must be at most {format_duration(_MOST_SECONDS)}"))
    if not promise.qos_class:
        violations.append(FieldViolation("promise.qos_class", "is empty: name the class that the promise comes from"))
    return promise


def _times(slo: Slo) -> tuple[tuple[str, float], ...]:
    match slo:
        case Interactive(ttft=ttft, tbt=tbt):
            return ("promise.interactive.ttft", ttft), ("promise.interactive.tbt", tbt)
        case Batch(ttlt=ttlt):
            return (("promise.batch.ttlt", ttlt),)


def _read_elapsed(elapsed: duration_pb2.Duration, violations: _Violations) -> float:
    try:
        seconds = wire.duration_from_wire(elapsed, "elapsed")
    except wire.WireError as error:
        violations.append(FieldViolation(error.field, error.problem))
        return 0.0
    if not 0 <= seconds <= _MOST_SECONDS:
        violations.append(FieldViolation("elapsed", f"must be from 0s to {format_duration(_MOST_SECONDS)}"))
    return seconds


def _check_sampling(sampling: generation_pb2.Sampling) -> Iterator[FieldViolation]:
    """Yield what is out of bounds; NaN is out of every bound."""
    if not 0 <= sampling.temperature < math.inf:
        yield FieldViolation("request.sampling.temperature", "must be a finite number, 0 or above")
    if sampling.HasField("top_p") and not 0 < sampling.top_p <= 1:
        yield FieldViolation("request.sampling.top_p", "must be above 0 and at most 1")
    for name in ("presence_penalty", "frequency_penalty"):
        if not -2 <= getattr(sampling, name) <= 2:
            yield FieldViolation(f"request.sampling.{name}", "must be from -2 to 2")


def _read_sampling(sampling: generation_pb2.Sampling) -> Sampling:
    return Sampling(
        temperature=sampling.temperature if sampling.HasField("temperature") else None,
        top_p=sampling.top_p if sampling.HasField("top_p") else None,
        top_k=sampling.top_k if sampling.HasField("top_k") else None,
        seed=sampling.seed if sampling.HasField("seed") else None,
        stop=tuple(sampling.stop),
        presence_penalty=sampling.presence_penalty if sampling.HasField("presence_penalty") else None,
        frequency_penalty=sampling.frequency_penalty if sampling.HasField("frequency_penalty") else None,
    )
