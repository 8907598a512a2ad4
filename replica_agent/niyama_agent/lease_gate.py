"""Who may begin a stream here: whoever carries a lease that a router has signed for this request on this replica.

A client that reaches the replica itself could promise itself what it likes. So the promise is the lease's, and the time
that has passed since the arrival lies between what the router said and what the lease's age allows. Without a key
whoever calls is believed, as on a network that only routers reach.
"""

import grpc
from niyama.v1 import qos_pb2, replica_pb2
from niyama_runtime import wire
from niyama_runtime.leases import Lease, LeaseError, Leases
from niyama_runtime.status import Failure

__all__ = ["LeaseGate", "LeaseRefusedError"]


class LeaseRefusedError(Exception):
    """A call is not permitted; `failure` is what the caller hears."""

    def __init__(self, failure: Failure) -> None:
        """Keep the failure."""
        super().__init__(failure.message)
        self.failure = failure


class LeaseGate:
    """Looks at the lease of each request.

    Args:
        leases: reads them.
        replica: name of this replica.
    """

    def __init__(self, leases: Leases, *, replica: str) -> None:
        """Be ready to look."""
        self._leases = leases
        self._replica = replica

    def admit(self, message: replica_pb2.ReplicaGenerateRequest) -> None:
        """Let a request in, with promise and elapsed time as its lease has them.

        Raises:
            LeaseRefusedError: it may not begin.
        """
        if not self._leases.is_signing:
            return
        lease = self._read(message.lease)
        self._check(message, lease)
        message.promise.CopyFrom(wire.promise_to_wire(lease.promise))
        elapsed = message.elapsed.ToNanoseconds() / 1e9
        bounded = min(max(elapsed, lease.elapsed), lease.elapsed_at_most)
        message.elapsed.CopyFrom(wire.duration_to_wire(bounded))

    def admit_order(self) -> None:
        """Let in an order to abort or to drain, which carries no lease.

        Raises:
            LeaseRefusedError: clients may reach this replica, so that nobody knows who gives the order.
        """
        if self._leases.is_signing:
            raise _denied("LEASE_MISSING", "orders are not taken where leases are asked for: send SIGTERM to drain")

    def _read(self, token: bytes) -> Lease:
        if not token:
            raise _unknown("LEASE_MISSING", "the request has no lease: ask a router for a place")
        try:
            return self._leases.read(token)
        except LeaseError as error:
            raise _unknown("LEASE_INVALID", str(error)) from error

    def _check(self, message: replica_pb2.ReplicaGenerateRequest, lease: Lease) -> None:
        """Compare what is asked with what is permitted."""
        if lease.is_expired:
            raise _unknown("LEASE_EXPIRED", f"the lease held for {lease.valid_for:g} s: ask a router for another place")
        if lease.replica != self._replica:
            raise _denied("LEASE_MISMATCH", f"the lease is for replica {lease.replica}, and this is {self._replica}")
        if lease.request_id != message.request.request_id:
            raise _denied("LEASE_MISMATCH", f"the lease is for request {lease.request_id!r}, and not for this one")
        if message.HasField("promise") and not _is_promise(message.promise, lease):
            raise _denied("LEASE_MISMATCH", "the promise is another than the router gave")


def _is_promise(message: qos_pb2.Promise, lease: Lease) -> bool:
    try:
        return wire.promise_from_wire(message) == lease.promise
    except wire.WireError:
        return False


def _unknown(reason: str, message: str) -> LeaseRefusedError:
    return LeaseRefusedError(Failure(code=grpc.StatusCode.UNAUTHENTICATED, message=message, reason=reason))


def _denied(reason: str, message: str) -> LeaseRefusedError:
    return LeaseRefusedError(Failure(code=grpc.StatusCode.PERMISSION_DENIED, message=message, reason=reason))
