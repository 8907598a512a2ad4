"""Leases: what a router permits on a replica, signed so that a client in between can carry it and not change it.

A lease is for one request on one replica by one promise, and holds for seconds: it gates the beginning of a stream and
not its end. Routers attach one to each request that they send themselves.

An instant is in it, for nobody measures how long a client takes. Of the clocks only this is asked: that they agree to
what a lease can bear. No deadline hangs on them, see `Lease.elapsed_at_most`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from niyama.v1 import lease_pb2, replica_pb2
from niyama_core.slo import Promise

from niyama_runtime import wire
from niyama_runtime.signatures import SignatureError, Signer

__all__ = ["DEFAULT_LEASE_SECONDS", "Lease", "LeaseError", "Leases"]

DEFAULT_LEASE_SECONDS = 10.0
"""How long a lease holds where nobody says otherwise."""

_PURPOSE = "lease"


class LeaseError(Exception):
    """A lease is none that a router of this cluster has given; the message says why."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What is permitted.

    Attributes:
        request_id: of the one request.
        replica: name of the one replica.
        promise: by which it is served.
        elapsed: seconds since the request's arrival when the lease was given.
        age: seconds since it was given; a little below 0 when the giver's clock is ahead.
        valid_for: seconds for which it holds.
    """

    request_id: str
    replica: str
    promise: Promise
    elapsed: float
    age: float
    valid_for: float

    @property
    def is_expired(self) -> bool:
        """Whether a stream may no longer begin by it; one from the future is no better."""
        return not -self.valid_for <= self.age <= self.valid_for

    @property
    def elapsed_at_most(self) -> float:
        """Seconds since the arrival that a client can honestly claim; clocks that differ never make them fewer."""
        return self.elapsed + max(0.0, self.age)


class Leases:
    """Gives leases and reads them.

    Args:
        key: shared by the routers and replicas of the cluster; None to give empty ones.
        unix_now: the time, in seconds since the epoch.
        valid_for: seconds for which a lease holds.
    """

    def __init__(
        self, key: bytes | None, *, unix_now: Callable[[], float], valid_for: float = DEFAULT_LEASE_SECONDS
    ) -> None:
        """Sign with this key."""
        self._signer = Signer(key, purpose=_PURPOSE)
        self._unix_now = unix_now
        self.is_signing = key is not None
        """Whether there is a key."""
        self.valid_for = valid_for
        """Seconds for which a lease holds that is given from here."""

    def issue(self, message: replica_pb2.ReplicaGenerateRequest, replica: str) -> bytes:
        """Return the lease of a request as it goes to a replica: for its id, promise and elapsed time."""
        if not self.is_signing:
            return b""
        claims = lease_pb2.LeaseClaims(
            request_id=message.request.request_id,
            replica=replica,
            promise=message.promise,
            elapsed=message.elapsed,
            valid_for=wire.duration_to_wire(self.valid_for),
        )
        claims.issued.FromMicroseconds(round(1e6 * self._unix_now()))
        return self._signer.sign(claims.SerializeToString())

    def read(self, lease: bytes) -> Lease:
        """Return what a lease permits, expired or not.

        Raises:
            LeaseError: it is broken, or another cluster's.
        """
        try:
            claims = lease_pb2.LeaseClaims.FromString(self._signer.open(lease))
            promise = wire.promise_from_wire(claims.promise)
            elapsed = wire.duration_from_wire(claims.elapsed, "elapsed")
            valid_for = wire.duration_from_wire(claims.valid_for, "valid_for")
        except (SignatureError, DecodeError, wire.WireError) as error:
            raise LeaseError("the lease has not been given by a router of this cluster") from error
        age = self._unix_now() - claims.issued.ToMicroseconds() / 1e6
        return Lease(claims.request_id, claims.replica, promise, elapsed, age, valid_for)
