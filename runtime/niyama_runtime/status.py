"""Errors that carry their reason across gRPC, in both directions.

A server raises one by `abort`; whoever called gets the same `Failure` back from `failure_of`. On the wire it is
google.rpc.Status in `grpc-status-details-bin`: BadRequest names the wrong fields, RetryInfo says when to come back,
ErrorInfo gives a reason that programs can match on. `grpc-retry-pushback-ms` repeats the delay for gRPC's own
retries.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Never, cast

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

__all__ = [
    "DOMAIN",
    "Failure",
    "FieldViolation",
    "abort",
    "failure_of",
    "failure_of_call",
    "invalid_argument",
    "overloaded",
    "trailing_metadata",
    "unavailable",
]

DOMAIN = "niyama.dev"
"""Of every reason in ErrorInfo."""

_DETAILS_KEY = "grpc-status-details-bin"
_PUSHBACK_KEY = "grpc-retry-pushback-ms"
# gRPC drops a response whose metadata exceed 8 KiB: what is echoed from a request must not hide the error itself.
_MAX_MESSAGE_BYTES = 1000
_MAX_DETAIL_BYTES = 3000


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that is wrong: its path, for example `qos.ttft`, and how to mend it."""

    field: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a call failed.

    Attributes:
        code: gRPC's status.
        message: one line for a person.
        violations: fields of the request that are wrong.
        retry_after: seconds until trying again makes sense; None when nothing is known.
        reason: UPPER_SNAKE, stable, for programs; empty when there is none.
        metadata: figures that belong to the reason.
    """

    code: grpc.StatusCode
    message: str
    violations: tuple[FieldViolation, ...] = ()
    retry_after: float | None = None
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def invalid_argument(*violations: FieldViolation) -> Failure:
    """Return the failure of a request with wrong fields."""
    message = "; ".join(f"{v.field}: {v.description}" for v in violations)
    return Failure(
        code=grpc.StatusCode.INVALID_ARGUMENT, message=message, violations=violations, reason="INVALID_REQUEST"
    )


def overloaded(message: str, *, retry_after: float, metadata: Mapping[str, str] | None = None) -> Failure:
    """Return the failure of a request that is refused for want of room; `retry_after` is in seconds."""
    return Failure(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        message=message,
        retry_after=retry_after,
        reason="OVERLOADED",
        metadata=metadata or {},
    )


def unavailable(message: str, *, reason: str, retry_after: float | None = None) -> Failure:
    """Return the failure of a request that nobody is there to serve; `reason` is UPPER_SNAKE."""
    return Failure(code=grpc.StatusCode.UNAVAILABLE, message=message, retry_after=retry_after, reason=reason)


async def abort(context: "grpc.aio.ServicerContext[Any, Any]", failure: Failure) -> Never:
    """End the call with `failure`; trailing metadata that were set before are kept.

    Never returns: gRPC raises out of the handler.
    """
    trailing = (*(context.trailing_metadata() or ()), *trailing_metadata(failure))
    await context.abort(failure.code, _clipped(failure.message, _MAX_MESSAGE_BYTES), trailing)
    raise AssertionError("gRPC's abort has returned")


def trailing_metadata(failure: Failure) -> tuple[tuple[str, str | bytes], ...]:
    """Return what travels beside the status code and its message."""
    details: tuple[tuple[str, str | bytes], ...] = ((_DETAILS_KEY, _to_status(failure).SerializeToString()),)
    if failure.retry_after is None:
        return details
    return (*details, (_PUSHBACK_KEY, str(math.ceil(_sane(failure.retry_after) * 1000))))


def failure_of(error: grpc.RpcError) -> Failure:
    """Return what a failed call says of itself; details that are missing or broken are left out.

    Takes what a synchronous call and one of grpc.aio raise.
    """
    code = getattr(error, "code", None)
    if code is None:  # a bare RpcError, raised by nobody's server
        return Failure(code=grpc.StatusCode.UNKNOWN, message=str(error))
    # Pairs from a synchronous call, a Metadata from one of grpc.aio: dict() takes both.
    return failure_of_call(code(), error.details() or "", metadata=cast("Any", error.trailing_metadata()))


def failure_of_call(code: grpc.StatusCode, text: str, *, metadata: Iterable[tuple[str, str | bytes]] | None) -> Failure:
    """Return what status code, text and trailing metadata of a finished call say."""
    trailer = dict(metadata or ())
    details = _parsed_details(trailer.get(_DETAILS_KEY))
    retry_after = details.retry_after
    if retry_after is None:
        retry_after = _pushback_seconds(trailer.get(_PUSHBACK_KEY))
    return Failure(
        code=code,
        message=text,
        violations=details.violations,
        retry_after=retry_after,
        reason=details.reason,
        metadata=details.metadata,
    )


def _to_status(failure: Failure) -> status_pb2.Status:
    status = status_pb2.Status(code=failure.code.value[0], message=_clipped(failure.message, _MAX_MESSAGE_BYTES))
    for detail in _details(failure):
        packed = any_pb2.Any()
        packed.Pack(detail)
        if status.ByteSize() + packed.ByteSize() <= _MAX_MESSAGE_BYTES + _MAX_DETAIL_BYTES:
            status.details.append(packed)
    return status


def _details(failure: Failure) -> Iterable[message.Message]:
    """Yield the details, the ones that must not be cut off first."""
    if failure.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(_sane(failure.retry_after) * 1e9))
        yield error_details_pb2.RetryInfo(retry_delay=delay)
    if failure.reason:
        figures = itertools.islice(failure.metadata.items(), 10)
        metadata = {_clipped(key, 128): _clipped(value, 128) for key, value in figures}
        yield error_details_pb2.ErrorInfo(reason=failure.reason, domain=DOMAIN, metadata=metadata)
    if failure.violations:
        yield _bad_request(failure.violations)


def _bad_request(violations: Iterable[FieldViolation]) -> error_details_pb2.BadRequest:
    """Return as many violations as fit."""
    bad_request = error_details_pb2.BadRequest()
    for violation in violations:
        bad_request.field_violations.add(
            field=_clipped(violation.field, 200), description=_clipped(violation.description, 500)
        )
        if bad_request.ByteSize() > _MAX_DETAIL_BYTES - 1000:
            break
    return bad_request


def _sane(delay: float) -> float:
    """Return `delay` between none and a day: a rate of zero makes an endless one, which no message holds."""
    return min(max(0.0, delay), 86400.0)


def _clipped(text: str, max_bytes: int) -> str:
    """Return as much of `text` as fits into `max_bytes` of UTF-8."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - 3].decode("utf-8", "ignore") + "..."


@dataclass(slots=True)
class _Details:
    """What could be read from a status, filled in detail by detail."""

    violations: tuple[FieldViolation, ...] = ()
    retry_after: float | None = None
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def add(self, detail: any_pb2.Any) -> None:
        """Take in one detail; kinds that are not known are passed over."""
        bad_request, retry, info = (
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
            error_details_pb2.ErrorInfo(),
        )
        if detail.Unpack(bad_request):
            self.violations = tuple(FieldViolation(v.field, v.description) for v in bad_request.field_violations)
        elif detail.Unpack(retry):
            self.retry_after = retry.retry_delay.ToNanoseconds() / 1e9
        elif detail.Unpack(info):
            self.reason, self.metadata = info.reason, dict(info.metadata)


def _parsed_details(raw: str | bytes | None) -> _Details:
    details = _Details()
    if not isinstance(raw, bytes):
        return details
    try:
        for detail in status_pb2.Status.FromString(raw).details:
            details.add(detail)
    except (message.DecodeError, ValueError):
        return _Details()
    return details


def _pushback_seconds(raw: str | bytes | None) -> float | None:
    """Return the server's delay; None when there is none, or when it is negative: do not retry."""
    try:
        milliseconds = int(raw) if raw is not None else -1
    except ValueError:
        return None
    return milliseconds / 1000 if milliseconds >= 0 else None
