"""What can go wrong with a request at the router.

    RouterError
    ├── InvalidRequestError     the request itself is wrong; says every field
    └── RequestFailedError      it was right, and could not be served; says why and when to come back

Both carry the `Failure` that the caller is told.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import grpc
from niyama_runtime.status import Failure, FieldViolation, invalid_argument

__all__ = ["InvalidRequestError", "Reason", "RequestFailedError", "RouterError", "failed"]


class Reason(StrEnum):
    """Why a request was not served: the `reason` of ErrorInfo, for programs to match on."""

    NO_REPLICA = "NO_REPLICA"
    NO_CAPACITY = "NO_CAPACITY"
    OVERLOADED = "OVERLOADED"
    STREAM_BROKEN = "STREAM_BROKEN"
    REPLICAS_FAILED = "REPLICAS_FAILED"
    PROTOCOL_BREACH = "PROTOCOL_BREACH"
    DEADLINE = "DEADLINE"


class RouterError(Exception):
    """A request ends with `failure`."""

    def __init__(self, failure: Failure) -> None:
        """Keep the failure."""
        super().__init__(failure.message)
        self.failure = failure


class InvalidRequestError(RouterError):
    """A request has wrong fields."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        """Keep the violations."""
        super().__init__(invalid_argument(*violations))


class RequestFailedError(RouterError):
    """A request cannot be served."""


def failed(
    code: grpc.StatusCode,
    message: str,
    *,
    reason: Reason,
    retry_after: float | None = None,
    metadata: Mapping[str, str] | None = None,
) -> RequestFailedError:
    """Return the error with that code and reason; `retry_after` is in seconds."""
    return RequestFailedError(
        Failure(code=code, message=message, reason=reason.value, retry_after=retry_after, metadata=metadata or {})
    )
