"""The paced engine in virtual time: answers, cancellation, drain."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest
from niyama_agent.engine import (
    Aborted,
    AbortReason,
    Admitted,
    DrainCounts,
    DuplicateRequestError,
    EngineDiedError,
    Finished,
    FinishReason,
    HandBackReason,
    HandedBack,
    Relegated,
    TokensEmitted,
)
from niyama_agent.paced_engine import PacedEngine, PacedSettings
from niyama_core.journal import IterationRecord
from niyama_core.policies import SchedulerSettings
from niyama_core.slo import Importance
from niyama_runtime.clock import VirtualClock

from tests.builders import A100, SteadyLaw, a_batch_request, a_request
from tests.replica_agent.engine_room import Reader, asks, in_virtual_time, running_engine

TENTH = SteadyLaw(seconds=0.1, seconds_per_token=0.0)


def ids_in(record: IterationRecord) -> set[str]:
    return {*record.plan.decodes, *(chunk.request_id for chunk in record.plan.chunks)}


def test_every_answer_ends_where_replay_says() -> None:
    async def story(clock: VirtualClock) -> Finished:
        async with running_engine(clock) as room:
            last = (await room.answer(asks(output=37))).last
            assert isinstance(last, Finished)
            return last

    assert in_virtual_time(story) == Finished(FinishReason.STOP, 37)


def test_a_cap_below_the_natural_length_cuts_the_answer_off() -> None:
    async def story(clock: VirtualClock) -> list[object]:
        async with running_engine(clock) as room:
            return [
                (await room.answer(asks(a_request(max_output=cap), prompt=range(200)))).last for cap in (2, 1_000_000)
            ]

    capped, natural = in_virtual_time(story)
    assert capped == Finished(FinishReason.LENGTH, 2)
    assert isinstance(natural, Finished)
    assert natural.reason is FinishReason.STOP
    assert 2 < natural.num_output_tokens < 5000


@pytest.mark.parametrize("num_kept", [0, 1, 17, 39])
def test_a_resumed_answer_goes_on_as_if_nothing_had_happened(num_kept: int) -> None:
    async def story(clock: VirtualClock) -> tuple[list[int], list[int], list[object]]:
        async with running_engine(clock) as room:
            whole = (await room.answer(asks(output=40))).token_ids
            rest = await room.answer(asks(output=40, emitted=whole[:num_kept]))
            return whole, rest.token_ids, [e for e in rest.events if isinstance(e, TokensEmitted | Finished)]

    whole, rest, events = in_virtual_time(story)
    assert whole[:num_kept] + rest == whole
    assert isinstance(events[0], TokensEmitted)
    assert events[0].position == num_kept
    assert events[-1] == Finished(FinishReason.STOP, 40)


def test_an_answer_that_broke_off_behind_its_last_token_gives_no_token_twice() -> None:
    async def story(clock: VirtualClock) -> list[object]:
        async with running_engine(clock) as room:
            whole = (await room.answer(asks(output=40))).token_ids
            return [*(await room.answer(asks(output=40, emitted=whole))).events]

    assert in_virtual_time(story) == [Admitted(), Finished(FinishReason.STOP, 40)]


def test_a_wrong_resume_shows_in_the_very_next_token() -> None:
    async def story(clock: VirtualClock) -> tuple[int, int]:
        async with running_engine(clock) as room:
            whole = (await room.answer(asks(output=10))).token_ids
            lost_one = [*whole[:3], *whole[4:6]]
            return whole[5], (await room.answer(asks(output=10, emitted=lost_one))).token_ids[0]

    right, wrong = in_virtual_time(story)
    assert right != wrong


def test_a_client_that_leaves_costs_two_more_iterations_at_most_and_no_kv() -> None:
    async def story(clock: VirtualClock) -> tuple[int, int, int]:
        async with running_engine(clock, law=TENTH) as room:
            leaver = room.open(asks(a_request("leaver"), output=1000))
            room.open(asks(a_request("stayer"), output=1000))
            await clock.sleep_until(2.05)
            await leaver.leave()
            num_before = len(room.records)
            held = room.engine.load(clock.now()).kv_used_tokens
            await clock.sleep_until(4.0)
            after = [record for record in room.records[num_before:] if "leaver" in ids_in(record)]
            stayers = sum("stayer" in ids_in(record) for record in room.records[num_before:])
            assert stayers > 10
            return len(after), held, room.records[-1].plan.shape.decode_context_tokens

    num_after, held, stayer_context = in_virtual_time(story)
    assert num_after <= 2
    assert 1000 <= held < 1100
    assert stayer_context < 1100


def test_the_kv_of_whoever_finishes_leaves_or_is_aborted_is_free_again() -> None:
    async def story(clock: VirtualClock) -> int:
        async with running_engine(clock) as room:
            finisher = room.open(asks(a_request("finisher"), output=3))
            leaver = room.open(asks(a_request("leaver"), output=1000))
            aborted = room.open(asks(a_request("aborted"), output=1000))
            await finisher.finished()
            await leaver.leave()
            assert await room.engine.abort("aborted", AbortReason.ASKED)
            await aborted.finished()
            await clock.sleep_until(clock.now() + 1)
            return room.engine.load(clock.now()).kv_used_tokens

    assert in_virtual_time(story) == 0


def test_an_id_that_comes_back_within_an_iteration_holds_no_kv_of_its_predecessor() -> None:
    async def story(clock: VirtualClock) -> tuple[int, int]:
        async with running_engine(clock, law=TENTH) as room:
            first = room.open(asks(a_request("same", prompt=100), output=1000))
            await clock.sleep_until(0.05)
            await first.leave()
            room.open(asks(a_request("same", prompt=60), output=1000))
            await clock.sleep_until(0.25)
            return room.engine.load(clock.now()).kv_used_tokens, room.records[1].plan.shape.prefill_tokens

    assert in_virtual_time(story) == (60, 60)


def test_the_kv_cache_is_never_overfull_and_everybody_finishes() -> None:
    async def story(clock: VirtualClock) -> tuple[list[int], int, list[object]]:
        async with running_engine(clock, kv_tokens=1500) as room:
            readers = [room.open(asks(a_request(f"r{i}", prompt=100, max_output=600), output=500)) for i in range(8)]
            for reader in readers:
                await reader.finished()
            preempted = sum(len(record.plan.preempted) for record in room.records)
            return [record.kv_free_tokens for record in room.records], preempted, [reader.last for reader in readers]

    free, num_preempted, ends = in_virtual_time(story)
    assert min(free) >= 0
    assert num_preempted > 0
    assert ends == [Finished(FinishReason.STOP, 500)] * 8


def test_a_slow_reader_gets_its_tokens_together_and_holds_nobody_up() -> None:
    async def story(clock: VirtualClock) -> tuple[list[int], list[float]]:
        async with running_engine(clock, law=TENTH) as room:
            quick = room.open(asks(a_request("quick", prompt=50), output=30))
            sizes = []
            async with aclosing(room.engine.generate(asks(a_request("slow", prompt=50), output=30))) as events:
                async for event in events:
                    if isinstance(event, TokensEmitted):
                        sizes.append(len(event.token_ids))
                        await clock.sleep_until(clock.now() + 1.0)
            return sizes, quick.emitted_at

    sizes, quick_at = in_virtual_time(story)
    assert sum(sizes) == 30
    assert sizes[1] == 10
    assert quick_at[-1] - quick_at[0] == pytest.approx(2.9)


def test_a_drain_hands_back_what_has_not_begun_and_lets_the_rest_finish() -> None:
    async def story(clock: VirtualClock) -> tuple[DrainCounts, list[object]]:
        async with running_engine(clock, law=TENTH, scheduler=SchedulerSettings(max_num_seqs=1)) as room:
            running = room.open(asks(a_request("running"), output=30))
            await clock.sleep_until(1.0)
            waiting = room.open(asks(a_request("waiting"), output=30))
            await clock.sleep_until(1.5)
            counts = room.engine.drain()
            late = await room.answer(asks(a_request("late"), output=30))
            await running.finished()
            await waiting.finished()
            assert late.events == [HandedBack(HandBackReason.DRAINING)]
            assert room.engine.load(clock.now()).draining
            return counts, [running.last, waiting.last]

    counts, ends = in_virtual_time(story)
    assert counts == DrainCounts(num_handed_back=1, num_running=1)
    assert ends == [Finished(FinishReason.STOP, 30), HandedBack(HandBackReason.DRAINING)]


def test_a_request_that_will_miss_is_told_so_before_its_first_token_and_served_all_the_same() -> None:
    async def story(clock: VirtualClock) -> tuple[list[object], float]:
        async with running_engine(clock) as room:
            reader = await room.answer(asks(a_request(ttft=0.01, prompt=4000), output=3))
            return [*reader.events], reader.emitted_at[0]

    events, first_at = in_virtual_time(story)
    assert events[:2] == [Admitted(), Relegated(before_first_token=True)]
    assert events[-1] == Finished(FinishReason.STOP, 3)
    assert first_at > 0.01


def test_a_request_that_arrives_relegated_goes_behind_all_others_and_is_not_told_again() -> None:
    async def story(clock: VirtualClock) -> tuple[float, float, list[object]]:
        async with running_engine(clock) as room:
            late = room.open(asks(a_request("late", prompt=4000, relegated=True), output=2))
            others = [room.open(asks(a_request(f"r{i}", prompt=4000), output=2)) for i in range(10)]
            await late.finished()
            for other in others:
                await other.finished()
            return late.emitted_at[0], max(other.emitted_at[0] for other in others), [*late.events]

    late, others, events = in_virtual_time(story)
    assert late > others
    assert not any(isinstance(event, Relegated) for event in events)


def test_low_importance_gives_way_to_important_work_that_would_be_late() -> None:
    async def story(clock: VirtualClock) -> tuple[bool, float]:
        async with running_engine(clock) as room:
            low = a_batch_request("low", ttlt=8.0, prompt=12_000, importance=Importance.LOW)
            important = [room.open(asks(a_request(f"r{i}", ttft=4.0, prompt=3000), output=2)) for i in range(10)]
            unimportant = room.open(asks(low, output=2))
            for reader in (*important, unimportant):
                await reader.finished()
            relegated = any(isinstance(event, Relegated) for event in unimportant.events)
            return relegated, max(reader.emitted_at[0] for reader in important)

    relegated, latest = in_virtual_time(story)
    assert relegated
    assert latest <= 4.0


def test_an_aborted_request_ends_and_a_second_abort_finds_nothing() -> None:
    async def story(clock: VirtualClock) -> tuple[object, bool, bool]:
        async with running_engine(clock) as room:
            reader = room.open(asks(a_request("one"), output=1000))
            await clock.sleep_until(1.0)
            first = await room.engine.abort("one", AbortReason.DRAIN_GRACE_OVER)
            await reader.finished()
            return reader.last, first, await room.engine.abort("one", AbortReason.ASKED)

    assert in_virtual_time(story) == (Aborted(AbortReason.DRAIN_GRACE_OVER), True, False)


def test_a_live_id_is_refused_and_its_owner_goes_on() -> None:
    async def story(clock: VirtualClock) -> object:
        async with running_engine(clock) as room:
            owner = room.open(asks(a_request("one"), output=20))
            await clock.sleep_until(0.1)
            with pytest.raises(DuplicateRequestError):
                await room.answer(asks(a_request("one"), output=20))
            await owner.finished()
            return owner.last

    assert in_virtual_time(story) == Finished(FinishReason.STOP, 20)


def test_readers_of_a_dead_engine_get_what_was_emitted_and_then_an_error() -> None:
    async def story(clock: VirtualClock) -> int:
        def fail_at_last(record: IterationRecord) -> None:
            if record.index == 5:
                raise RuntimeError("the disk is on fire")

        engine = PacedEngine(PacedSettings(profile=A100, replay=True), clock, on_iteration=fail_at_last)
        running = asyncio.create_task(engine.run())
        reader = Reader(engine, asks(a_request(prompt=100), output=100))
        with pytest.raises(EngineDiedError):
            await reader.finished()
        with pytest.raises(EngineDiedError):
            await anext(engine.generate(asks(a_request("another"))))
        with pytest.raises(RuntimeError, match="disk"):
            await running
        return len(reader.token_ids)

    assert in_virtual_time(story) == 5


def test_another_policy_takes_over_while_requests_are_live() -> None:
    async def story(clock: VirtualClock) -> tuple[set[int], set[int], object]:
        async with running_engine(clock, law=TENTH, scheduler=SchedulerSettings("sarathi-fcfs")) as room:
            reader = room.open(asks(a_request(prompt=8000), output=5))
            await clock.sleep_until(0.95)
            room.engine.reschedule(SchedulerSettings("sarathi-fcfs", token_budget=1024))
            num_before = len(room.records) + 1
            await reader.finished()
            budgets = [record.plan.token_budget for record in room.records]
            assert room.engine.facts.scheduler.token_budget == 1024
            return set(budgets[:num_before]), set(budgets[num_before:]), reader.last

    assert in_virtual_time(story) == ({256}, {1024}, Finished(FinishReason.STOP, 5))


def test_tokens_are_told_in_the_sizes_they_were_planned_in() -> None:
    async def story(clock: VirtualClock) -> tuple[int, int]:
        async with running_engine(clock) as room:
            request = asks(replace(a_request(prompt=5000), max_output_tokens=10), output=10)
            await room.answer(request)
            executed = [record.executed for record in room.records]
            prefilled = sum(chunk.num_tokens for each in executed for chunk in each.chunks)
            return prefilled, sum(len(each.decodes) for each in executed)

    assert in_virtual_time(story) == (5000, 9)
