"""Conversions between the core's values and the messages of `niyama.v1`, both ways.

`..._to_wire` takes what the core made and cannot fail on it. `..._from_wire` takes what somebody sent: it raises
`WireError` with the path of the field, so that a server can answer with it.
"""

import math
from collections.abc import Mapping
from typing import Literal, assert_never

from google.protobuf import duration_pb2
from niyama.v1 import load_pb2, qos_pb2
from niyama_core.load import ClassLoad, ReplicaLoad
from niyama_core.slo import Batch, Importance, Interactive, OnOverload, Promise

__all__ = [
    "WireError",
    "duration_from_wire",
    "duration_to_wire",
    "importance_from_wire",
    "importance_to_wire",
    "load_from_wire",
    "load_to_wire",
    "on_overload_from_wire",
    "on_overload_to_wire",
    "promise_from_wire",
    "promise_to_wire",
]

_NANOS = 1_000_000_000
# The bound of google.protobuf.Duration: about 10,000 years.
_MAX_SECONDS = 315_576_000_000

_IMPORTANCE: Mapping[Importance, qos_pb2.Importance] = {
    Importance.HIGH: qos_pb2.IMPORTANCE_HIGH,
    Importance.LOW: qos_pb2.IMPORTANCE_LOW,
}
_IMPORTANCE_FROM: Mapping[int, Importance] = {number: importance for importance, number in _IMPORTANCE.items()}
_ON_OVERLOAD: Mapping[OnOverload, qos_pb2.OnOverload] = {
    OnOverload.QUEUE: qos_pb2.ON_OVERLOAD_QUEUE,
    OnOverload.RELEGATE: qos_pb2.ON_OVERLOAD_RELEGATE,
    OnOverload.REJECT: qos_pb2.ON_OVERLOAD_REJECT,
}
_ON_OVERLOAD_FROM: Mapping[int, OnOverload] = {number: on_overload for on_overload, number in _ON_OVERLOAD.items()}


class WireError(ValueError):
    """A message holds what cannot be.

    Attributes:
        field: path of the field in the message, for example `interactive.ttft`.
        problem: what is wrong and what would be right.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


def duration_to_wire(seconds: float) -> duration_pb2.Duration:
    """Return `seconds` rounded to nanoseconds.

    Raises:
        ValueError: `seconds` is no number or beyond 10,000 years.
    """
    if not abs(seconds) <= _MAX_SECONDS:
        raise ValueError(f"{seconds} s cannot travel as a duration")
    whole = math.trunc(seconds)
    nanos = round((seconds - whole) * _NANOS)
    if abs(nanos) == _NANOS:
        whole, nanos = whole + int(math.copysign(1, nanos)), 0
    return duration_pb2.Duration(seconds=whole, nanos=nanos)


def duration_from_wire(duration: duration_pb2.Duration, field: str = "duration") -> float:
    """Return the seconds of `duration`; `field` is its path in errors.

    Raises:
        WireError: the parts are out of their bounds, or their signs differ.
    """
    seconds, nanos = duration.seconds, duration.nanos
    if abs(seconds) > _MAX_SECONDS or abs(nanos) >= _NANOS or seconds * nanos < 0:
        raise WireError(field, "is no valid duration")
    # One division of whole numbers is rounded once: 1.606 stays 1.606.
    return (seconds * _NANOS + nanos) / _NANOS


def importance_to_wire(importance: Importance) -> qos_pb2.Importance:
    """Return the number of `importance`."""
    return _IMPORTANCE[importance]


def importance_from_wire(number: int, field: str = "importance") -> Importance | None:
    """Return the importance, or None where the sender left it to the class.

    Raises:
        WireError: a number that this version does not know.
    """
    if number == qos_pb2.IMPORTANCE_UNSPECIFIED:
        return None
    if number not in _IMPORTANCE_FROM:
        raise WireError(field, f"unknown importance {number}: use IMPORTANCE_HIGH or IMPORTANCE_LOW")
    return _IMPORTANCE_FROM[number]


def on_overload_to_wire(on_overload: OnOverload) -> qos_pb2.OnOverload:
    """Return the number of `on_overload`."""
    return _ON_OVERLOAD[on_overload]


def on_overload_from_wire(number: int, field: str = "on_overload") -> OnOverload | None:
    """Return what is done on overload, or None where the sender did not say.

    Raises:
        WireError: a number that this version does not know.
    """
    if number == qos_pb2.ON_OVERLOAD_UNSPECIFIED:
        return None
    if number not in _ON_OVERLOAD_FROM:
        raise WireError(field, f"unknown on_overload {number}: use one of ON_OVERLOAD_QUEUE, _RELEGATE, _REJECT")
    return _ON_OVERLOAD_FROM[number]


def promise_to_wire(promise: Promise) -> qos_pb2.Promise:
    """Return `promise` as a message."""
    message = qos_pb2.Promise(
        qos_class=promise.qos_class,
        importance=importance_to_wire(promise.importance),
        on_overload=on_overload_to_wire(promise.on_overload),
    )
    match promise.slo:
        case Interactive(ttft=ttft, tbt=tbt):
            message.interactive.ttft.CopyFrom(duration_to_wire(ttft))
            message.interactive.tbt.CopyFrom(duration_to_wire(tbt))
        case Batch(ttlt=ttlt):
            message.batch.ttlt.CopyFrom(duration_to_wire(ttlt))
        case _:
            assert_never(promise.slo)
    return message


def promise_from_wire(message: qos_pb2.Promise) -> Promise:
    """Return the promise that a router resolved; what it left unsaid takes the defaults.

    Raises:
        WireError: no SLO, a time that is missing or not above zero, or a number that is not known.
    """
    importance = importance_from_wire(message.importance) or Importance.HIGH
    on_overload = on_overload_from_wire(message.on_overload) or OnOverload.RELEGATE
    return Promise(message.qos_class, _slo_from_wire(message), importance, on_overload)


def _slo_from_wire(message: qos_pb2.Promise) -> Interactive | Batch:
    kind: Literal["interactive", "batch"] | None = message.WhichOneof("slo")
    match kind:
        case "interactive":
            times = message.interactive
            return Interactive(
                ttft=_positive(times.ttft, "interactive.ttft"), tbt=_positive(times.tbt, "interactive.tbt")
            )
        case "batch":
            return Batch(ttlt=_positive(message.batch.ttlt, "batch.ttlt"))
        case None:
            raise WireError("slo", "is missing: a promise is interactive or batch")


def _positive(duration: duration_pb2.Duration, field: str) -> float:
    seconds = duration_from_wire(duration, field)
    if seconds <= 0:
        raise WireError(field, "must be above zero")
    return seconds


def load_to_wire(load: ReplicaLoad) -> load_pb2.ReplicaLoad:
    """Return `load` as a message."""
    message = load_pb2.ReplicaLoad(
        replica=load.replica,
        address=load.address,
        sequence=load.sequence,
        incarnation=load.incarnation,
        classes=[_class_load_to_wire(name, class_load) for name, class_load in load.classes.items()],
        prefill_tokens_per_second=load.prefill_tokens_per_second,
        iteration_time=duration_to_wire(load.iteration_seconds),
        kv_used_tokens=load.kv_used_tokens,
        kv_free_tokens=load.kv_free_tokens,
        draining=load.draining,
        engine=load.engine,
        model=load.model,
        bytes_per_token=load.bytes_per_token,
        context_tokens=load.context_tokens,
    )
    if load.tightest_slack is not None:
        message.tightest_slack.CopyFrom(duration_to_wire(load.tightest_slack))
    return message


def load_from_wire(message: load_pb2.ReplicaLoad) -> ReplicaLoad:
    """Return the load that a replica reported.

    Raises:
        WireError: no name, or a rate that is negative or no number.
    """
    if not message.replica:
        raise WireError("replica", "is empty")
    has_slack = message.HasField("tightest_slack")
    return ReplicaLoad(
        replica=message.replica,
        address=message.address,
        sequence=message.sequence,
        incarnation=message.incarnation,
        classes={load.qos_class: _class_load_from_wire(load) for load in message.classes},
        tightest_slack=duration_from_wire(message.tightest_slack, "tightest_slack") if has_slack else None,
        prefill_tokens_per_second=_rate(message.prefill_tokens_per_second, "prefill_tokens_per_second"),
        iteration_seconds=_rate(duration_from_wire(message.iteration_time, "iteration_time"), "iteration_time"),
        kv_used_tokens=message.kv_used_tokens,
        kv_free_tokens=message.kv_free_tokens,
        draining=message.draining,
        engine=message.engine,
        model=message.model,
        bytes_per_token=_rate(message.bytes_per_token, "bytes_per_token"),
        context_tokens=message.context_tokens,
    )


def _rate(number: float, field: str) -> float:
    if not 0 <= number < math.inf:
        raise WireError(field, "must be a finite number, zero or above")
    return number


def _class_load_to_wire(name: str, load: ClassLoad) -> load_pb2.ClassLoad:
    return load_pb2.ClassLoad(
        qos_class=name,
        queued_prefill_tokens=load.queued_prefill_tokens,
        num_queued=load.num_queued,
        num_decoding=load.num_decoding,
        num_relegated=load.num_relegated,
        relegated_prefill_tokens=load.relegated_prefill_tokens,
    )


def _class_load_from_wire(message: load_pb2.ClassLoad) -> ClassLoad:
    return ClassLoad(
        queued_prefill_tokens=message.queued_prefill_tokens,
        num_queued=message.num_queued,
        num_decoding=message.num_decoding,
        num_relegated=message.num_relegated,
        relegated_prefill_tokens=message.relegated_prefill_tokens,
    )
