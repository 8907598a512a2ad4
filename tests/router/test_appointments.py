"""Appointments that clients carry: read by every router that shares the key, and by nobody else's hand."""

import asyncio
from dataclasses import replace

import grpc
import pytest
from niyama_router.appointments import AppointmentError, Appointments

from tests.router.conftest import StartReplica
from tests.router.harness import RouterUnderTest

KEY = b"k" * 32
STRICT = [{"name": "strict", "interactive": {"ttft": "1s"}, "onOverload": "reject"}]


def appointments(key: bytes | None = KEY, *, unix: float = 1000.0) -> Appointments:
    return Appointments(key, unix_now=lambda: unix)


def test_another_router_reads_by_its_own_clock_when_to_come_back() -> None:
    text = appointments().write("a", 5.0)
    assert text.isascii()
    kept = appointments(unix=1006.0).read(text, "a", now=77.0)
    assert kept.given == pytest.approx(71.0)
    assert kept.due == pytest.approx(76.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (appointments(b"x" * 32).write("a", 5.0), "not been signed"),
        (appointments().write("b", 5.0), "that of request 'b'"),
        ("no base64!", "no appointment"),
        ("", "not been signed"),
    ],
)
def test_what_no_router_of_the_cluster_has_written_is_refused(text: str, said: str) -> None:
    with pytest.raises(AppointmentError, match=said):
        appointments().read(text, "a", now=0.0)


async def test_a_refusal_has_the_appointment_which_any_router_takes(start_replica: StartReplica) -> None:
    slow = await start_replica("slow")
    slow.load = replace(slow.load, prefill_tokens_per_second=100.0)
    async with (
        RouterUnderTest(slow.address, qosClasses=STRICT) as one,
        RouterUnderTest(slow.address, qosClasses=STRICT) as other,
    ):
        refused = await one.generate(prompt="x" * 440, request_id="mine")
        assert refused.failure is not None
        assert refused.failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused.failure.retry_after == pytest.approx(0.1, abs=0.05)
        carried = [("niyama-appointment", refused.failure.metadata["appointment"])]
        slow.load = replace(slow.load, prefill_tokens_per_second=1000.0)
        await asyncio.sleep(1.2)
        assert (await other.generate(prompt="x" * 440, request_id="mine", metadata=carried)).failure is None
        assert (await other.generate(request_id="other", metadata=carried)).violated == ["niyama-appointment"]
        garbage = [("niyama-appointment", "???")]
        assert (await other.generate(request_id="mine", metadata=garbage)).violated == ["niyama-appointment"]
