"""What it means that a replica has failed on a request: pure, from failure to failure.

One set of rules for both who follow requests from replica to replica: routers, and clients that stream from replicas
themselves.
"""

from dataclasses import replace

import grpc

from niyama_runtime.status import Failure, invalid_argument

__all__ = [
    "broken",
    "for_the_client",
    "is_about_the_request",
    "is_denied",
    "is_expired",
    "no_capacity",
    "poisonous",
    "unreachable",
]

# What a replica says of the request and not of itself: another one would say the same.
_ABOUT_THE_REQUEST = frozenset(
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
    )
)


def is_about_the_request(failure: Failure) -> bool:
    """Return whether any replica would say so."""
    # Without a reason it is the replica's server, which stops.
    is_aborted = failure.code is grpc.StatusCode.CANCELLED and bool(failure.reason)
    return is_aborted or failure.code in _ABOUT_THE_REQUEST


def is_expired(failure: Failure) -> bool:
    """Return whether the lease ran out before the stream began: another one will do."""
    return failure.reason == "LEASE_EXPIRED"


def is_denied(failure: Failure) -> bool:
    """Return whether the replica does not know who has sent the request."""
    return failure.code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


def for_the_client(failure: Failure) -> Failure:
    """Return what a replica found wrong with the fields as the client knows them."""
    violations = tuple(replace(v, field=v.field.removeprefix("request.")) for v in failure.violations)
    return invalid_argument(*violations) if violations else failure


def broken(failure: Failure, *, replica: str, num_tokens: int) -> Failure:
    """Return the failure of a stream that broke after tokens and cannot go on."""
    return Failure(
        code=grpc.StatusCode.UNAVAILABLE,
        message=f"replica {replica} was lost after {num_tokens} tokens had been delivered: {failure.message}",
        reason="STREAM_BROKEN",
        metadata={"num_delivered_tokens": str(num_tokens), "replica": replica, "cause": failure.code.name},
    )


def no_capacity(replica: str) -> Failure:
    """Return what a client hears whose request fits nowhere."""
    return Failure(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        message=f"no replica can hold the request: {replica} gave it back for want of KV cache",
        reason="NO_CAPACITY",
        retry_after=1.0,
    )


def poisonous(failure: Failure, *, replica: str, num_losses: int, num_tokens: int) -> Failure:
    """Return the failure of a request on which replica after replica has failed."""
    return Failure(
        code=grpc.StatusCode.UNAVAILABLE,
        message=f"{num_losses} replicas failed on this request, {replica} last: {failure.message}",
        reason="REPLICAS_FAILED",
        metadata={"num_delivered_tokens": str(num_tokens), "replica": replica, "cause": failure.code.name},
    )


def unreachable(replica: str, address: str) -> Failure:
    """Return the failure of a client to which a replica's address means nothing."""
    return Failure(
        code=grpc.StatusCode.UNAVAILABLE,
        message=f"replica {replica} cannot be reached from here at {address}: stream through routers, in mode routed",
        reason="UNREACHABLE",
    )
