"""Resume tokens: what a client hands to another router when its own is gone, so that its request goes on as it was.

A router keeps nothing that another could ask for, so the client carries it: arrival and promise, signed with a key that
all routers of a cluster share. Without a key tokens are not signed, and a client could give itself an earlier arrival,
which is no more than it could ask for by a tighter promise.
"""

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from niyama.v1 import resume_pb2
from niyama_core.slo import Promise
from niyama_runtime import wire
from niyama_runtime.signatures import SignatureError, Signer

__all__ = ["ResumeTokenError", "ResumeTokens", "Resumed"]

_PURPOSE = "resume"
# Clocks that are further apart than this, and requests that are older, are nobody's honest token.
_MOST_SECONDS = 7 * 86400.0


class ResumeTokenError(Exception):
    """A token is not one that a router of this cluster has made; the message says why."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A request that goes on: its id, what it was promised, and the seconds since its arrival."""

    request_id: str
    promise: Promise
    elapsed: float


class ResumeTokens:
    """Makes tokens and reads them.

    Args:
        key: shared by all routers of the cluster; None to sign nothing.
        unix_now: the time, in seconds since the epoch.
    """

    def __init__(self, key: bytes | None, *, unix_now: Callable[[], float]) -> None:
        """Sign with this key."""
        self._signer = Signer(key, purpose=_PURPOSE)
        self._unix_now = unix_now

    def issue(self, request_id: str, promise: Promise) -> bytes:
        """Return the token of a request that arrives at this moment."""
        claims = resume_pb2.ResumeClaims(request_id=request_id, promise=wire.promise_to_wire(promise))
        claims.arrival.FromMicroseconds(round(1e6 * self._unix_now()))
        return self._signer.sign(claims.SerializeToString())

    def read(self, token: bytes) -> Resumed:
        """Return what a token says.

        Raises:
            ResumeTokenError: it is broken, or another cluster's.
        """
        try:
            claims = resume_pb2.ResumeClaims.FromString(self._signer.open(token))
            promise = wire.promise_from_wire(claims.promise)
        except SignatureError as error:
            raise ResumeTokenError("has not been signed by a router of this cluster") from error
        except (DecodeError, wire.WireError) as error:
            raise ResumeTokenError(
                "is no token of a router: pass on what the first message of the stream had"
            ) from error
        elapsed = self._unix_now() - claims.arrival.ToMicroseconds() / 1e6
        if not -_MOST_SECONDS < elapsed < _MOST_SECONDS:
            raise ResumeTokenError("is too old to go on with")
        return Resumed(claims.request_id, promise, max(0.0, elapsed))
