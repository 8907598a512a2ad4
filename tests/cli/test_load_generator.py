"""The load generator sends when the workload says, and tells of every request what came of it."""

import asyncio

import grpc
import pytest
from niyama_cli.closed_loop import closed_loop, saturation_throughput
from niyama_cli.filler_text import FillerText
from niyama_cli.load_generator import LoadMeter, LoadSettings, run_workload
from niyama_core.slo import Batch, Importance, Interactive, Promise
from niyama_eval.outcomes import OutcomeState, Relegation, RequestOutcome
from niyama_eval.workloads import WorkloadRequest
from niyama_runtime.status import Failure, overloaded, unavailable

from tests.client.scripted_router import ScriptedRouter, Step, accepted, answer, completion, relegated, serve, tokens

STAYS = 30.0


def a_workload(num: int = 1, *, gap: float = 0.0, importance: Importance = Importance.HIGH) -> list[WorkloadRequest]:
    promise = Promise("chat", Batch(1.0), importance)
    return [WorkloadRequest(f"r{index}", gap * index, 100, 2, promise, "code") for index in range(num)]


async def outcome_of(*script: Step, patience: float | None = None, meter: LoadMeter | None = None) -> RequestOutcome:
    """Return what comes of one request whose stream goes like this."""
    async with serve(ScriptedRouter(script)) as address:
        (outcome,) = await run_workload(
            address, a_workload(), settings=LoadSettings(patience=patience), meter=meter or LoadMeter()
        )
    return outcome


async def test_a_request_that_ends_well_is_judged_by_what_the_router_promised() -> None:
    outcome = await outcome_of(*answer("a", "b"))
    assert outcome.state is OutcomeState.COMPLETED
    assert outcome.slo == Interactive(ttft=2.0, tbt=0.05)
    assert list(outcome.emitted) == [0.001, 0.002]
    assert (outcome.ttft, outcome.ttlt, outcome.replica) == (0.001, 0.002, "replica-0")
    assert outcome.is_on_time


async def test_a_refusal_is_rejected_and_no_failure() -> None:
    meter = LoadMeter()
    outcome = await outcome_of(overloaded("no room", retry_after=1.0), meter=meter)
    assert outcome.state is OutcomeState.REJECTED
    assert (outcome.qos_class, outcome.slo) == ("chat", Batch(1.0))
    assert meter.failures == {"OVERLOADED": 1}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([unavailable("nobody", reason="NO_REPLICA")], "NO_REPLICA"),
        ([accepted(), tokens("a"), unavailable("died", reason="REPLICA_LOST")], "REPLICA_LOST"),
        ([accepted(), overloaded("no room", retry_after=1.0)], "OVERLOADED"),
        ([Failure(code=grpc.StatusCode.INVALID_ARGUMENT, message="no")], "INVALID_ARGUMENT"),
        ([accepted(), tokens("a"), tokens("a"), completion()], "BROKEN_CONTRACT"),
        ([], "NO_ANSWER"),
    ],
)
async def test_a_request_that_ends_with_an_error_has_failed_and_says_why(script: list[Step], reason: str) -> None:
    meter = LoadMeter()
    outcome = await outcome_of(*script, meter=meter)
    assert outcome.state is OutcomeState.FAILED
    assert not outcome.is_on_time
    assert meter.failures == {reason: 1}


@pytest.mark.parametrize("script", [[accepted(), tokens("a")], [accepted(), tokens("a"), STAYS]])
async def test_an_accepted_request_that_never_ends_is_lost(script: list[Step]) -> None:
    outcome = await outcome_of(*script, patience=0.3)
    assert outcome.state is OutcomeState.LOST
    assert (outcome.ttft, outcome.ttlt) == (0.001, None)


async def test_relegations_and_moves_are_told() -> None:
    done = await outcome_of(accepted(), relegated(), tokens("a"), completion(relegation=1, num_moves=2))
    assert (done.relegation, done.num_moves) == (Relegation.BEFORE_FIRST_TOKEN, 2)
    broken = await outcome_of(accepted(), relegated(), unavailable("died", reason="REPLICA_LOST"))
    assert broken.relegation is Relegation.BEFORE_FIRST_TOKEN


async def test_requests_are_sent_at_their_arrivals_whatever_becomes_of_the_others() -> None:
    router, meter = ScriptedRouter([accepted(), 0.5, completion()]), LoadMeter()
    ended: list[str] = []
    async with serve(router) as address:
        outcomes = await run_workload(
            address, a_workload(5, gap=0.05), on_outcome=lambda outcome: ended.append(outcome.request_id), meter=meter
        )
    gaps = [later - earlier for earlier, later in zip(router.times, router.times[1:], strict=False)]
    assert all(0.02 < gap < 0.25 for gap in gaps)
    assert [outcome.request_id for outcome in outcomes] == ["r0", "r1", "r2", "r3", "r4"]
    assert sorted(ended) == ["r0", "r1", "r2", "r3", "r4"]
    assert (meter.num_sent, meter.num_ended, meter.num_open) == (5, 5, 0)
    assert meter.largest_lag < 0.2


async def test_a_replay_says_the_length_of_the_answer_and_not_by_the_cap() -> None:
    router = ScriptedRouter(answer("a"))
    async with serve(router) as address:
        await run_workload(address, a_workload(), settings=LoadSettings(replay=True, max_tokens=2000))
        await run_workload(address, a_workload())
    replayed, plain = router.requests
    assert (replayed.replay_output_tokens, replayed.max_tokens) == (2, 2000)
    assert (plain.replay_output_tokens, plain.max_tokens) == (0, 2)


async def test_requests_name_class_and_app_and_their_importance_unless_the_class_decides() -> None:
    router = ScriptedRouter(answer("a"))
    async with serve(router) as address:
        await run_workload(address, a_workload(importance=Importance.LOW))
        await run_workload(address, a_workload(), settings=LoadSettings(says_importance=False))
    said, unsaid = router.requests
    assert (said.qos.qos_class, said.qos.importance, said.app, said.request_id) == ("chat", 2, "code", "r0")
    assert unsaid.qos.importance == 0


async def test_a_workload_that_is_cancelled_cancels_its_requests() -> None:
    router = ScriptedRouter([accepted(), STAYS])
    async with serve(router) as address:
        task = asyncio.create_task(run_workload(address, a_workload(3)))
        await asyncio.wait_for(router.asked.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(router.left.wait(), 5)


async def test_a_router_that_is_away_fails_each_request_and_nothing_else() -> None:
    outcomes = await run_workload("127.0.0.1:1", a_workload(3))
    assert [outcome.state for outcome in outcomes] == [OutcomeState.FAILED] * 3


async def test_a_closed_loop_keeps_so_many_open_and_sends_the_next_when_one_ends() -> None:
    router = ScriptedRouter([accepted(), 0.1, completion()])
    async with serve(router) as address:
        outcomes = await closed_loop(address, a_workload(2), concurrency=3, seconds=0.75)
    assert 12 <= len(outcomes) <= 21
    assert len({request.request_id for request in router.requests}) == len(router.requests)


async def test_saturation_is_where_more_open_requests_gain_nothing() -> None:
    class OneDoor(ScriptedRouter):
        """Serves four at a time."""

        door = asyncio.Semaphore(4)

        async def Generate(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, N802
            async with self.door:
                async for message in super().Generate(request, context):
                    yield message

    async with serve(OneDoor([accepted(), 0.05, completion()])) as address:
        found = await saturation_throughput(address, a_workload(4), step_seconds=0.25, first=1)
    assert [run.concurrency for run in found.runs][:3] == [1, 2, 4]
    assert found.throughput == pytest.approx(4 / 0.05, rel=0.35)
    assert found.concurrency >= 4


@pytest.mark.parametrize("num_tokens", [1, 7, 1000, 100_000])
@pytest.mark.parametrize("bytes_per_token", [1.0, 3.7, 4.0])
def test_a_prompt_is_as_long_as_asked_for(num_tokens: int, bytes_per_token: float) -> None:
    prompt = FillerText(bytes_per_token).prompt("r1", num_tokens)
    assert len(prompt.encode()) == max(1, int(num_tokens * bytes_per_token))


def test_no_two_prompts_share_a_beginning() -> None:
    text = FillerText(4.0)
    assert text.prompt("r1", 1000)[:16] != text.prompt("r2", 1000)[:16]
    assert text.prompt("r1", 1000) == FillerText(4.0).prompt("r1", 1000)
