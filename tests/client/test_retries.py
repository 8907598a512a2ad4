"""What is tried again, how often, and what it is then called."""

import random

import grpc
import pytest
from niyama_client import (
    AccessDeniedError,
    Client,
    FieldViolation,
    InvalidRequestError,
    NiyamaError,
    OverloadedError,
    Retries,
    ServerError,
    TimeoutExpiredError,
    UnavailableError,
    UnknownRequestError,
)
from niyama_client.retries import Patience
from niyama_runtime.status import Failure, invalid_argument, overloaded, unavailable

from tests.client.scripted_router import ScriptedRouter, accepted, answer, completion, serve, tokens

GONE = unavailable("no replica is ready", reason="NO_REPLICA")
FULL = overloaded("no room", retry_after=0.2, metadata={"queued": "7"})
QUICK = Retries(first_delay=0.01, longest_delay=1.0)


async def test_a_request_of_which_nothing_came_is_tried_again_with_the_same_id() -> None:
    router = ScriptedRouter([GONE], [accepted(), GONE], answer("a"))
    async with serve(router) as address, Client(address, retries=QUICK) as client:
        assert await client.generate("Hi").text() == "a"
    assert len({request.request_id for request in router.requests}) == 1
    assert len(router.requests) == 3


async def test_the_number_of_attempts_is_bounded() -> None:
    router = ScriptedRouter([GONE])
    async with serve(router) as address, Client(address, retries=QUICK) as client:
        with pytest.raises(UnavailableError, match="no replica is ready") as caught:
            await client.generate("Hi").text()
    assert len(router.requests) == 1 + QUICK.unavailable
    assert (caught.value.reason, caught.value.tokens) == ("NO_REPLICA", ())


async def test_an_answer_that_broke_off_goes_on_behind_the_tokens_that_came() -> None:
    begun = accepted(resume_token=b"mine")
    router = ScriptedRouter(
        [begun, tokens("a"), tokens("b", position=1), GONE],
        [GONE],
        [begun, tokens("c", position=2), completion(num_output_tokens=3)],
    )
    async with serve(router) as address, Client(address, retries=QUICK) as client:
        generation = client.generate("Hi")
        assert await generation.text() == "abc"
    assert [token.position for token in generation.tokens] == [0, 1, 2]
    first, second, third = router.requests
    assert not first.HasField("resume")
    assert (second.resume.token, list(second.resume.token_ids)) == (b"mine", [100, 101])
    assert third == second
    assert first.request_id == third.request_id


async def test_a_call_that_reaches_a_server_in_its_last_moment_is_tried_again() -> None:
    stopping = Failure(code=grpc.StatusCode.CANCELLED, message="the server stops")
    router = ScriptedRouter([stopping], answer("a"))
    async with serve(router) as address, Client(address, retries=QUICK) as client:
        assert await client.generate("Hi").text() == "a"


async def test_a_request_that_somebody_ended_stays_ended() -> None:
    aborted = Failure(code=grpc.StatusCode.CANCELLED, message="the request was aborted", reason="ABORTED")
    router = ScriptedRouter([accepted(resume_token=b"mine"), aborted])
    async with serve(router) as address, Client(address, retries=QUICK) as client:
        with pytest.raises(ServerError, match="aborted"):
            await client.generate("Hi").text()
    assert len(router.requests) == 1


async def test_an_answer_that_cannot_go_on_is_not_tried_again_after_its_first_token() -> None:
    router = ScriptedRouter([accepted(), tokens("a"), GONE], answer("a"))
    async with serve(router) as address, Client(address, retries=QUICK) as client:
        with pytest.raises(UnavailableError):
            await client.generate("Hi").text()
    assert len(router.requests) == 1


async def test_a_refusal_for_want_of_room_says_when_to_come_back_and_is_not_tried_again_unasked() -> None:
    router = ScriptedRouter([FULL])
    async with serve(router) as address, Client(address) as client:
        with pytest.raises(OverloadedError, match="try again in") as caught:
            await client.generate("Hi").text()
    error = caught.value
    assert (error.retry_after, error.reason, error.metadata) == (0.2, "OVERLOADED", {"queued": "7"})
    assert len(router.requests) == 1


async def test_a_refusal_is_tried_again_when_asked_for_and_not_before_the_server_said() -> None:
    router = ScriptedRouter([FULL], answer("a"))
    async with serve(router) as address, Client(address, retries=Retries(overloaded=1)) as client:
        assert await client.generate("Hi").text() == "a"
    first, second = router.times
    assert second - first >= 0.2


async def test_a_refusal_without_a_time_to_come_back_is_not_tried_again() -> None:
    silent = Failure(code=grpc.StatusCode.RESOURCE_EXHAUSTED, message="message larger than the limit")
    router = ScriptedRouter([silent])
    async with serve(router) as address, Client(address, retries=Retries(overloaded=5)) as client:
        with pytest.raises(OverloadedError):
            await client.generate("Hi").text()
    assert len(router.requests) == 1


def test_a_server_that_asks_for_too_long_a_wait_is_not_waited_for() -> None:
    patience = Patience(Retries(overloaded=3, longest_delay=10.0))
    assert patience.delay_after(overloaded("no room", retry_after=11.0)) is None


def test_waits_grow_and_are_never_in_step() -> None:
    delays = [
        [
            patience.delay_after(GONE)
            for patience in [Patience(Retries(unavailable=4, first_delay=1.0), rng=random.Random(seed))]
            for _ in range(4)
        ]
        for seed in range(20)
    ]
    assert all(0.5 * 2**n <= delay <= 2**n for row in delays for n, delay in enumerate(row) if delay is not None)
    assert len({row[0] for row in delays}) == 20


def test_patience_ends() -> None:
    patience = Patience(Retries(unavailable=2))
    assert [patience.delay_after(GONE) is None for _ in range(3)] == [False, False, True]


async def test_no_server_at_all_is_an_error_after_the_last_attempt() -> None:
    async with Client("127.0.0.1:1", retries=QUICK) as client:
        with pytest.raises(UnavailableError, match="refused"):
            await client.generate("Hi").text()
        with pytest.raises(UnavailableError):
            await client.status()


async def test_questions_about_the_cluster_are_tried_again_too() -> None:
    router = ScriptedRouter(answer("a"))
    router.status_failures = [GONE, GONE]
    async with serve(router) as address, Client(address, retries=QUICK) as client:
        assert (await client.status()).cluster == "default/llama"


async def test_a_timeout_counts_all_attempts_together() -> None:
    router = ScriptedRouter([GONE])
    retries = Retries(unavailable=1000, first_delay=0.05, longest_delay=0.05)
    async with serve(router) as address, Client(address, retries=retries) as client:
        with pytest.raises(UnavailableError):
            await client.generate("Hi", timeout=0.4).text()
    assert 1 < len(router.requests) < 20


async def test_a_timeout_in_the_middle_of_an_answer_says_how_far_it_came() -> None:
    router = ScriptedRouter([accepted(), tokens("a"), 30.0, completion()])
    async with serve(router) as address, Client(address) as client:
        with pytest.raises(TimeoutExpiredError) as caught:
            await client.generate("Hi", timeout=0.3).text()
    assert len(caught.value.tokens) == 1


async def test_a_wrong_request_names_its_fields() -> None:
    wrong = invalid_argument(FieldViolation("qos.ttft", "must be above zero"), FieldViolation("prompt", "is empty"))
    router = ScriptedRouter([wrong])
    async with serve(router) as address, Client(address) as client:
        with pytest.raises(InvalidRequestError, match="above zero") as caught:
            await client.generate("Hi").text()
    assert [violation.field for violation in caught.value.violations] == ["qos.ttft", "prompt"]
    assert len(router.requests) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, UnknownRequestError),
        (grpc.StatusCode.UNAUTHENTICATED, AccessDeniedError),
        (grpc.StatusCode.PERMISSION_DENIED, AccessDeniedError),
        (grpc.StatusCode.FAILED_PRECONDITION, InvalidRequestError),
        (grpc.StatusCode.INTERNAL, ServerError),
        (grpc.StatusCode.UNIMPLEMENTED, ServerError),
        (grpc.StatusCode.DATA_LOSS, ServerError),
    ],
)
async def test_every_status_is_one_of_few_errors(code: grpc.StatusCode, kind: type[NiyamaError]) -> None:
    async with serve(ScriptedRouter([Failure(code=code, message="no")])) as address, Client(address) as client:
        with pytest.raises(kind, match="no") as caught:
            await client.generate("Hi").text()
    assert caught.value.code == code.name


async def test_an_answer_that_gets_on_may_lose_its_router_as_often_as_it_likes() -> None:
    begun = accepted(resume_token=b"mine")
    number = 2 * QUICK.unavailable
    losses = [(begun, tokens("a", position=position), GONE) for position in range(number)]
    router = ScriptedRouter(*losses, [begun, tokens("a", position=number), completion(num_output_tokens=number + 1)])
    async with serve(router) as address, Client(address, retries=QUICK) as client:
        assert await client.generate("Hi").text() == "a" * (number + 1)


async def test_a_request_that_replicas_fail_on_is_not_sent_to_more_of_them() -> None:
    router = ScriptedRouter([accepted(), unavailable("3 replicas failed on this request", reason="REPLICAS_FAILED")])
    async with serve(router) as address, Client(address, retries=QUICK) as client:
        with pytest.raises(UnavailableError, match="3 replicas failed"):
            await client.generate("Hi").text()
    assert len(router.requests) == 1


async def test_whoever_comes_back_when_told_shows_the_appointment() -> None:
    patience = Patience(Retries(overloaded=1))
    await patience.wait_after(overloaded("full", retry_after=0.01, metadata={"appointment": "signed"}))
    assert patience.metadata == (("niyama-appointment", "signed"),)
    assert Patience(Retries(), appointment="from before").metadata == (("niyama-appointment", "from before"),)
