"""Resume tokens: what a client hands to another router when its own is gone, so that its request goes on as it was.

A router keeps nothing that another could ask for, so the client carries it: arrival and promise, signed with a key that
all routers of a cluster share. Without a key tokens are not signed, and a client could give itself an earlier arrival,
which is no more than it could ask for by a tighter promise.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError
from niyama.v1 import resume_pb2
from niyama_core.slo import Promise
from niyama_runtime import wire

__all__ = ["ResumeKeyError", "ResumeTokenError", "ResumeTokens", "Resumed", "read_key"]

_MAC_BYTES = 32
_LEAST_KEY_BYTES = 32
# Clocks that are further apart than this, and requests that are older, are nobody's honest token.
_MOST_SECONDS = 7 * 86400.0


class ResumeKeyError(Exception):
    """A key cannot be used; the message names its file."""


class ResumeTokenError(Exception):
    """A token is not one that a router of this cluster has made; the message says why."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A request that goes on: its id, what it was promised, and the seconds since its arrival."""

    request_id: str
    promise: Promise
    elapsed: float


def read_key(file: Path) -> bytes:
    """Return the key that a file holds.

    Raises:
        ResumeKeyError: it cannot be read, or is too short to be one.
    """
    try:
        key = file.read_bytes().strip()
    except OSError as error:
        raise ResumeKeyError(f"cannot read {file}: {error.strerror or error}") from error
    if len(key) < _LEAST_KEY_BYTES:
        raise ResumeKeyError(f"{file} holds {len(key)} bytes: a key has at least {_LEAST_KEY_BYTES}")
    return key


class ResumeTokens:
    """Makes tokens and reads them.

    Args:
        key: shared by all routers of the cluster; None to sign nothing.
        unix_now: the time, in seconds since the epoch.
    """

    def __init__(self, key: bytes | None, *, unix_now: Callable[[], float]) -> None:
        """Sign with this key."""
        self._key = key
        self._unix_now = unix_now

    def issue(self, request_id: str, promise: Promise) -> bytes:
        """Return the token of a request that arrives at this moment."""
        claims = resume_pb2.ResumeClaims(request_id=request_id, promise=wire.promise_to_wire(promise))
        claims.arrival.FromMicroseconds(round(1e6 * self._unix_now()))
        content = claims.SerializeToString()
        return self._mac(content) + content

    def read(self, token: bytes) -> Resumed:
        """Return what a token says.

        Raises:
            ResumeTokenError: it is broken, or another cluster's.
        """
        num_bytes = 0 if self._key is None else _MAC_BYTES
        mac, content = token[:num_bytes], token[num_bytes:]
        if not hmac.compare_digest(mac, self._mac(content)):
            raise ResumeTokenError("has not been signed by a router of this cluster")
        try:
            claims = resume_pb2.ResumeClaims.FromString(content)
            promise = wire.promise_from_wire(claims.promise)
        except (DecodeError, wire.WireError) as error:
            raise ResumeTokenError(
                "is no token of a router: pass on what the first message of the stream had"
            ) from error
        elapsed = self._unix_now() - claims.arrival.ToMicroseconds() / 1e6
        if not -_MOST_SECONDS < elapsed < _MOST_SECONDS:
            raise ResumeTokenError("is too old to go on with")
        return Resumed(claims.request_id, promise, max(0.0, elapsed))

    def _mac(self, content: bytes) -> bytes:
        return b"" if self._key is None else hmac.digest(self._key, content, hashlib.sha256)
