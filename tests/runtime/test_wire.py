"""Values survive the wire, and what somebody else sent is not believed blindly."""

import math

import pytest
from google.protobuf import duration_pb2
from hypothesis import given
from hypothesis import strategies as st
from niyama.v1 import load_pb2, qos_pb2
from niyama_core.load import ClassLoad, ReplicaLoad
from niyama_core.slo import Batch, Importance, Interactive, OnOverload, Promise
from niyama_runtime import wire

uint32s = st.integers(0, 2**32 - 1)
uint64s = st.integers(0, 2**64 - 1)
rates = st.floats(0, 1e12)
# Whole milliseconds up to a year: what a manifest can say, and what a duration holds exactly enough.
times = st.integers(1, 31_536_000_000).map(lambda ms: ms / 1000)
promises = st.builds(
    Promise,
    qos_class=st.text(max_size=20),
    slo=st.builds(Interactive, ttft=times, tbt=times) | st.builds(Batch, ttlt=times),
    importance=st.sampled_from(Importance),
    on_overload=st.sampled_from(OnOverload),
)
class_loads = st.builds(
    ClassLoad,
    queued_prefill_tokens=uint64s,
    num_queued=uint32s,
    num_decoding=uint32s,
    num_relegated=uint32s,
    relegated_prefill_tokens=uint64s,
)
loads = st.builds(
    ReplicaLoad,
    replica=st.text(min_size=1, max_size=20),
    address=st.text(max_size=20),
    sequence=uint64s,
    incarnation=uint64s,
    classes=st.dictionaries(st.text(max_size=10), class_loads, max_size=4),
    tightest_slack=st.none() | times | times.map(lambda seconds: -seconds),
    prefill_tokens_per_second=rates,
    iteration_seconds=times,
    kv_used_tokens=uint64s,
    kv_free_tokens=uint64s,
    draining=st.booleans(),
    engine=st.text(max_size=10),
    model=st.text(max_size=10),
    bytes_per_token=rates,
    context_tokens=uint64s,
)


@given(promises)
def test_a_promise_survives_the_wire(promise: Promise) -> None:
    sent = wire.promise_to_wire(promise).SerializeToString()
    assert wire.promise_from_wire(qos_pb2.Promise.FromString(sent)) == promise


@given(loads)
def test_a_load_survives_the_wire(load: ReplicaLoad) -> None:
    sent = wire.load_to_wire(load).SerializeToString()
    assert wire.load_from_wire(load_pb2.ReplicaLoad.FromString(sent)) == load


@given(st.floats(-315_576_000_000, 315_576_000_000))
def test_a_duration_is_kept_to_the_nanosecond(seconds: float) -> None:
    duration = wire.duration_to_wire(seconds)
    assert abs(wire.duration_from_wire(duration) - seconds) <= max(1e-9, math.ulp(seconds))
    assert duration.seconds * duration.nanos >= 0
    assert abs(duration.nanos) < 10**9


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, 1e12])
def test_what_is_no_time_cannot_be_sent(seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot travel"):
        wire.duration_to_wire(seconds)


@pytest.mark.parametrize(
    "duration",
    [
        duration_pb2.Duration(seconds=1, nanos=-1),
        duration_pb2.Duration(seconds=-1, nanos=1),
        duration_pb2.Duration(nanos=10**9),
        duration_pb2.Duration(seconds=10**12),
    ],
)
def test_a_duration_against_the_rules_is_refused_by_its_path(duration: duration_pb2.Duration) -> None:
    with pytest.raises(wire.WireError, match=r"qos\.ttft: ") as refused:
        wire.duration_from_wire(duration, "qos.ttft")
    assert refused.value.field == "qos.ttft"


def test_what_was_left_unsaid_is_none() -> None:
    assert wire.importance_from_wire(qos_pb2.IMPORTANCE_UNSPECIFIED) is None
    assert wire.on_overload_from_wire(qos_pb2.ON_OVERLOAD_UNSPECIFIED) is None


def test_numbers_of_a_later_version_are_refused_with_those_that_are_known() -> None:
    with pytest.raises(wire.WireError, match="IMPORTANCE_HIGH or IMPORTANCE_LOW"):
        wire.importance_from_wire(99)
    with pytest.raises(wire.WireError, match="ON_OVERLOAD_QUEUE"):
        wire.on_overload_from_wire(99)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (qos_pb2.Promise(qos_class="chat"), "slo"),
        (qos_pb2.Promise(interactive=qos_pb2.Interactive()), "interactive.ttft"),
        (qos_pb2.Promise(interactive={"ttft": {"seconds": 1}}), "interactive.tbt"),
        (qos_pb2.Promise(batch={"ttlt": {"seconds": -1}}), "batch.ttlt"),
    ],
)
def test_a_promise_without_its_times_is_refused(message: qos_pb2.Promise, field: str) -> None:
    with pytest.raises(wire.WireError) as refused:
        wire.promise_from_wire(message)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (load_pb2.ReplicaLoad(), "replica"),
        (load_pb2.ReplicaLoad(replica="a", prefill_tokens_per_second=math.nan), "prefill_tokens_per_second"),
        (load_pb2.ReplicaLoad(replica="a", bytes_per_token=math.inf), "bytes_per_token"),
        (load_pb2.ReplicaLoad(replica="a", iteration_time={"seconds": -1}), "iteration_time"),
    ],
)
def test_a_load_that_placement_could_not_reckon_with_is_refused(message: load_pb2.ReplicaLoad, field: str) -> None:
    with pytest.raises(wire.WireError) as refused:
        wire.load_from_wire(message)
    assert refused.value.field == field
