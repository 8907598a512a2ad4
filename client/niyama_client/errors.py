"""What can go wrong with a call, as a small tree of types.

    NiyamaError                 any of these; carries what the server said
    ├── InvalidRequestError     the request is wrong: `violations` names the fields and what is allowed
    ├── UnknownRequestError     the server does not know what was referred to
    ├── OverloadedError         refused for want of room: `retry_after` says when to come back
    ├── UnavailableError        nobody was there to serve it, or whoever served it died: `tokens` says how far it came
    ├── TimeoutExpiredError     the call's own `timeout` passed
    ├── AccessDeniedError       who calls is unknown, or may not
    └── ServerError             the server failed, or does not keep to the contract

Each carries the server's message, gRPC's code, the machine-readable reason and its figures, and, when a generation
failed, the tokens that had been delivered before.
"""

from collections.abc import Mapping, Sequence

import grpc
from niyama_runtime.status import Failure, FieldViolation, invalid_argument

from niyama_client.answers import Token

__all__ = [
    "AccessDeniedError",
    "FieldViolation",
    "InvalidRequestError",
    "NiyamaError",
    "OverloadedError",
    "ServerError",
    "TimeoutExpiredError",
    "UnavailableError",
    "UnknownRequestError",
    "broken_contract",
    "error_of",
    "refusal",
]


class NiyamaError(Exception):
    """A call failed.

    Attributes:
        message: one line for a person.
        code: name of gRPC's status, for example `RESOURCE_EXHAUSTED`.
        reason: UPPER_SNAKE and stable, for programs to match on; empty when the server gave none.
        metadata: figures that belong to the reason.
        violations: fields of the request that are wrong.
        retry_after: seconds until trying again makes sense; None when nothing is known.
        tokens: what had been delivered before a generation failed, in order.
    """

    def __init__(self, failure: Failure, tokens: Sequence[Token] = ()) -> None:
        self.message = failure.message or f"the call failed with {failure.code.name}"
        super().__init__(self.message)
        self.code: str = failure.code.name
        self.reason = failure.reason
        self.metadata: Mapping[str, str] = failure.metadata
        self.violations: tuple[FieldViolation, ...] = failure.violations
        self.retry_after = failure.retry_after
        self.tokens = tuple(tokens)

    def __str__(self) -> str:
        """Return the message, and what is known of when to try again and of what was delivered."""
        parts = [self.message]
        if self.retry_after is not None:
            parts.append(f"try again in {self.retry_after:.3g} s")
        if self.tokens:
            parts.append(f"{len(self.tokens)} tokens had been delivered")
        return "; ".join(parts)


class InvalidRequestError(NiyamaError):
    """The request is wrong, and would be wrong again; `violations` names the fields and what is allowed."""


class UnknownRequestError(NiyamaError):
    """The server does not know the request, replica or class that was referred to."""


class OverloadedError(NiyamaError):
    """Refused at the door for want of room; `retry_after` says when to come back."""


class UnavailableError(NiyamaError):
    """Nobody was there to serve it, or whoever served it died; `tokens` says how far it came."""


class TimeoutExpiredError(NiyamaError):
    """The call's own `timeout` passed before the answer was complete."""


class AccessDeniedError(NiyamaError):
    """Who calls is unknown to the server, or may not do this."""


class ServerError(NiyamaError):
    """The server failed, or does not keep to the contract."""


_BY_CODE: Mapping[grpc.StatusCode, type[NiyamaError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequestError,
    grpc.StatusCode.FAILED_PRECONDITION: InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: UnknownRequestError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimeoutExpiredError,
    grpc.StatusCode.UNAUTHENTICATED: AccessDeniedError,
    grpc.StatusCode.PERMISSION_DENIED: AccessDeniedError,
}


def error_of(failure: Failure, tokens: Sequence[Token] = ()) -> NiyamaError:
    """Return the error that stands for `failure`; `tokens` had been delivered before it."""
    return _BY_CODE.get(failure.code, ServerError)(failure, tokens)


def refusal(field: str, description: str) -> InvalidRequestError:
    """Return the error of a request that cannot even be sent."""
    failure = invalid_argument(FieldViolation(field, description))
    return InvalidRequestError(failure)


def broken_contract(message: str, tokens: Sequence[Token] = ()) -> ServerError:
    """Return the error of a server that says what it must not; `tokens` had been delivered before it."""
    return ServerError(Failure(code=grpc.StatusCode.INTERNAL, message=message, reason="BROKEN_CONTRACT"), tokens)
