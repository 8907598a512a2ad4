"""What a request that its replica lost, refused or gave back means to the client: pure, from failure to failure."""

from dataclasses import replace

import grpc
from niyama_runtime.status import Failure, invalid_argument

from niyama_router.errors import Reason, RequestFailedError, failed
from niyama_router.journey import Journey
from niyama_router.placing import Berth

__all__ = ["broken", "for_the_client", "is_about_the_request", "no_capacity", "poisonous"]

# What a replica says of the request and not of itself: another one would say the same.
_ABOUT_THE_REQUEST = frozenset(
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNIMPLEMENTED,
    )
)


def is_about_the_request(failure: Failure) -> bool:
    """Return whether any replica would say so."""
    return failure.code in _ABOUT_THE_REQUEST


def for_the_client(failure: Failure) -> Failure:
    """Return what a replica found wrong with the fields as the client knows them."""
    violations = tuple(replace(v, field=v.field.removeprefix("request.")) for v in failure.violations)
    return invalid_argument(*violations) if violations else failure


def no_capacity(berth: Berth) -> Failure:
    """Return what a client hears whose request fits nowhere."""
    return Failure(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        message=f"no replica can hold the request: {berth.replica} gave it back for want of KV cache",
        reason=Reason.NO_CAPACITY.value,
        retry_after=1.0,
    )


def broken(journey: Journey, failure: Failure) -> RequestFailedError:
    """Return the error of a stream that broke after tokens and cannot go on: it says how many the client has."""
    num_tokens = journey.num_delivered
    return failed(
        grpc.StatusCode.UNAVAILABLE,
        f"replica {journey.replica} was lost after {num_tokens} tokens had been delivered: {failure.message}",
        reason=Reason.STREAM_BROKEN,
        metadata={"num_delivered_tokens": str(num_tokens), "replica": journey.replica, "cause": failure.code.name},
    )


def poisonous(journey: Journey, failure: Failure) -> RequestFailedError:
    """Return the error of a request on which replica after replica has failed."""
    return failed(
        grpc.StatusCode.UNAVAILABLE,
        f"{journey.num_losses} replicas failed on this request, {journey.replica} last: {failure.message}",
        reason=Reason.REPLICAS_FAILED,
        metadata={
            "num_delivered_tokens": str(journey.num_delivered),
            "replica": journey.replica,
            "cause": failure.code.name,
        },
    )
