"""Resume tokens: what they carry from router to router, and whom they trust; and an answer that changes its router."""

import grpc
import pytest
from niyama.v1 import generation_pb2
from niyama_core.slo import Interactive, Promise
from niyama_router.resume_tokens import ResumeTokenError, ResumeTokens

from tests.router.conftest import StartReplica
from tests.router.harness import RouterUnderTest
from tests.router.scripted_replica import failing, going_on

PROMISE = Promise("chat", Interactive(ttft=2.0, tbt=0.05))
KEY = b"k" * 32


def test_a_token_carries_the_request_to_another_router() -> None:
    token = ResumeTokens(KEY, unix_now=lambda: 100.0).issue("r1", PROMISE)
    resumed = ResumeTokens(KEY, unix_now=lambda: 101.5).read(token)
    assert (resumed.request_id, resumed.promise) == ("r1", PROMISE)
    assert resumed.elapsed == pytest.approx(1.5)


def test_a_clock_that_is_behind_makes_nobody_arrive_in_the_future() -> None:
    token = ResumeTokens(None, unix_now=lambda: 100.0).issue("r1", PROMISE)
    assert ResumeTokens(None, unix_now=lambda: 99.0).read(token).elapsed == 0.0


@pytest.mark.parametrize("other", [None, b"other" * 8])
def test_a_token_of_another_cluster_is_refused(other: bytes | None) -> None:
    token = ResumeTokens(other, unix_now=lambda: 100.0).issue("r1", PROMISE)
    with pytest.raises(ResumeTokenError, match="signed"):
        ResumeTokens(KEY, unix_now=lambda: 100.0).read(token)


@pytest.mark.parametrize("change", [b"", b"x", b"\x00" * 64])
def test_a_token_that_was_changed_is_refused(change: bytes) -> None:
    tokens = ResumeTokens(KEY, unix_now=lambda: 100.0)
    with pytest.raises(ResumeTokenError):
        tokens.read(change or tokens.issue("r1", PROMISE)[:-1])


async def test_an_answer_goes_on_at_another_router(start_replica: StartReplica) -> None:
    replica = await start_replica("only", failing(grpc.StatusCode.UNAVAILABLE, num_tokens=3), going_on(6))
    async with RouterUnderTest(replica.address) as lost, RouterUnderTest(replica.address) as other:
        broken = await lost.generate(request_id="r1")
        assert broken.failure is not None
        token = broken.events[0].accepted.resume_token
        resume = generation_pb2.Resume(token=token, token_ids=broken.token_ids)
        answer = await other.generate(request_id="r1", resume=resume)
    assert broken.token_ids + answer.token_ids == list(range(6))
    assert answer.events[0].accepted.request_id == "r1"
    assert answer.events[0].accepted.resume_token == token
    seen = replica.seen[1]
    assert list(seen.emitted_token_ids) == [0, 1, 2]
    # The replica may not have let go of the first yet.
    assert seen.request.request_id not in ("", "r1")
    assert not seen.request.HasField("resume")
