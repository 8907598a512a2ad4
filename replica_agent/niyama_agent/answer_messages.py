"""The events of an answer as messages of `niyama.v1`."""

from collections.abc import Mapping
from types import MappingProxyType

from niyama.v1 import generation_pb2
from niyama_core.delivery import Delivery, Relegation
from niyama_core.slo import Promise
from niyama_runtime import wire

from niyama_agent.engine import Finished, FinishReason, HandBackReason, TokensEmitted

__all__ = ["accepted", "completion", "handed_back", "relegated", "tokens"]

_HAND_BACK_REASONS: Mapping[HandBackReason, generation_pb2.HandBackReason] = MappingProxyType(
    {
        HandBackReason.DRAINING: generation_pb2.HAND_BACK_REASON_DRAINING,
        HandBackReason.NO_CAPACITY: generation_pb2.HAND_BACK_REASON_NO_CAPACITY,
    }
)
_FINISH_REASONS: Mapping[FinishReason, generation_pb2.FinishReason] = MappingProxyType(
    {
        FinishReason.STOP: generation_pb2.FINISH_REASON_STOP,
        FinishReason.LENGTH: generation_pb2.FINISH_REASON_LENGTH,
    }
)
_RELEGATIONS: Mapping[Relegation, generation_pb2.Relegation] = MappingProxyType(
    {
        Relegation.NONE: generation_pb2.RELEGATION_NONE,
        Relegation.BEFORE_FIRST_TOKEN: generation_pb2.RELEGATION_BEFORE_FIRST_TOKEN,
        Relegation.AFTER_FIRST_TOKEN: generation_pb2.RELEGATION_AFTER_FIRST_TOKEN,
    }
)


def accepted(request_id: str, promise: Promise, *, replica: str, engine: str) -> generation_pb2.GenerateResponse:
    """Return the first message of a stream."""
    message = generation_pb2.Accepted(
        request_id=request_id, promise=wire.promise_to_wire(promise), replica=replica, engine=engine
    )
    return generation_pb2.GenerateResponse(accepted=message)


def tokens(event: TokensEmitted, arrival: float) -> generation_pb2.GenerateResponse:
    """Return tokens, with the time of each counted from the arrival."""
    message = generation_pb2.Tokens(
        position=event.position,
        token_ids=event.token_ids,
        text=event.text,
        emitted_us=[max(0, round(1e6 * (emitted_at - arrival))) for emitted_at in event.emitted_at],
    )
    return generation_pb2.GenerateResponse(tokens=message)


def relegated(*, before_first_token: bool) -> generation_pb2.GenerateResponse:
    """Return the news that the promise can no longer be kept here."""
    return generation_pb2.GenerateResponse(relegated=generation_pb2.Relegated(before_first_token=before_first_token))


def handed_back(reason: HandBackReason) -> generation_pb2.GenerateResponse:
    """Return the last message of a stream whose request is given back."""
    return generation_pb2.GenerateResponse(handed_back=generation_pb2.HandedBack(reason=_HAND_BACK_REASONS[reason]))


def completion(
    event: Finished, delivery: Delivery, *, num_prompt_tokens: int, replica: str, engine: str, num_moves: int
) -> generation_pb2.GenerateResponse:
    """Return the last message of a stream whose answer is whole."""
    message = generation_pb2.Completion(
        finish_reason=_FINISH_REASONS[event.reason],
        qos_class=delivery.promise.qos_class,
        replica=replica,
        engine=engine,
        num_prompt_tokens=num_prompt_tokens,
        num_cached_tokens=event.num_cached_tokens,
        num_output_tokens=event.num_output_tokens,
        num_late_tokens=delivery.num_late_tokens,
        relegation=_RELEGATIONS[delivery.relegation],
        num_moves=num_moves,
        on_time=delivery.is_on_time,
    )
    times = {"ttft": delivery.ttft, "largest_tbt": delivery.largest_tbt, "ttlt": delivery.ttlt}
    for field, seconds in times.items():
        if seconds is not None:
            getattr(message, field).CopyFrom(wire.duration_to_wire(seconds))
    return generation_pb2.GenerateResponse(completion=message)
