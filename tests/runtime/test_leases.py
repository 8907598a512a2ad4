"""Leases: what they permit, for how long, and whom they trust."""

import pytest
from niyama.v1 import generation_pb2, replica_pb2
from niyama_core.slo import Interactive, Promise
from niyama_runtime.leases import LeaseError, Leases
from niyama_runtime.wire import duration_to_wire, promise_to_wire

KEY = b"k" * 32
PROMISE = Promise("chat", Interactive(ttft=2.0, tbt=0.05))


def a_lease(key: bytes | None = KEY, *, at: float = 100.0) -> bytes:
    """Return the lease of request `one` on `replica-0`, which had been there for half a second."""
    message = replica_pb2.ReplicaGenerateRequest(
        request=generation_pb2.GenerateRequest(request_id="one"),
        promise=promise_to_wire(PROMISE),
        elapsed=duration_to_wire(0.5),
    )
    return Leases(key, unix_now=lambda: at, valid_for=10.0).issue(message, "replica-0")


def test_a_lease_says_what_is_permitted() -> None:
    lease = Leases(KEY, unix_now=lambda: 101.5).read(a_lease())
    assert (lease.request_id, lease.replica, lease.promise) == ("one", "replica-0", PROMISE)
    assert (lease.elapsed, lease.valid_for) == (0.5, 10.0)
    assert lease.age == pytest.approx(1.5)
    assert lease.elapsed_at_most == pytest.approx(2.0)


@pytest.mark.parametrize(("now", "expired"), [(100.0, False), (109.9, False), (110.1, True), (99.5, False), (80, True)])
def test_a_lease_holds_for_seconds_by_clocks_that_nearly_agree(now: float, expired: bool) -> None:
    assert Leases(KEY, unix_now=lambda: now).read(a_lease()).is_expired is expired


def test_a_clock_that_is_ahead_takes_no_time_away() -> None:
    assert Leases(KEY, unix_now=lambda: 99.0).read(a_lease()).elapsed_at_most == 0.5


def test_a_lease_by_another_key_or_none_is_refused() -> None:
    for lease in (a_lease(b"o" * 32), a_lease(None), b"", b"x" * 80):
        with pytest.raises(LeaseError, match="not been given by a router of this cluster"):
            Leases(KEY, unix_now=lambda: 100.0).read(lease)


def test_a_lease_that_was_changed_anywhere_is_refused() -> None:
    lease = a_lease()
    for index in range(len(lease)):
        changed = bytearray(lease)
        changed[index] ^= 1
        with pytest.raises(LeaseError):
            Leases(KEY, unix_now=lambda: 100.0).read(bytes(changed))
