"""Time that is handed in: real, or virtual and deterministic."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_runtime.clock import Clock, MonotonicClock, VirtualClock, VirtualDeadlockError


async def _note(clock: Clock, instant: float, notes: list[tuple[float, str]], name: str) -> None:
    await clock.sleep_until(instant)
    notes.append((clock.now(), name))


async def test_the_real_clock_never_wakes_a_sleeper_early() -> None:
    clock = MonotonicClock()
    for seconds in (0.0005, 0.002, 0.01):
        instant = clock.now() + seconds
        await clock.sleep_until(instant)
        assert instant <= clock.now() < instant + 1.0


async def test_the_real_clock_lets_others_run_when_the_instant_has_passed() -> None:
    clock, ran = MonotonicClock(), asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)
    await clock.sleep_until(clock.now() - 1)
    assert ran.is_set()


async def test_a_virtual_sleep_until_the_past_only_lets_others_run() -> None:
    clock, ran = VirtualClock(start=5.0), asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)
    await clock.sleep_until(4.0)
    assert ran.is_set()
    assert clock.now() == 5.0


async def test_virtual_hours_take_no_time() -> None:
    clock, before = VirtualClock(), time.monotonic()
    await clock.drive(clock.sleep_until(3600.0))
    assert clock.now() == 3600.0
    assert time.monotonic() - before < 1.0


async def test_sleepers_wake_by_instant_and_those_of_one_instant_as_they_lay_down() -> None:
    clock = VirtualClock()
    notes: list[tuple[float, str]] = []
    async with asyncio.TaskGroup() as group:
        for instant, name in ((2.0, "b"), (1.0, "a"), (2.0, "c"), (3.0, "d")):
            group.create_task(_note(clock, instant, notes, name))
        await clock.run()
    assert notes == [(1.0, "a"), (2.0, "b"), (2.0, "c"), (3.0, "d")]


async def test_a_sleeper_runs_until_all_wait_again_before_the_next_of_its_instant_wakes() -> None:
    clock, queue = VirtualClock(), asyncio.Queue[str]()
    notes: list[str] = []

    async def consume() -> None:
        for _ in range(2):
            item = await queue.get()
            for _ in range(5):  # a consequence may take several turns of the loop
                await asyncio.sleep(0)
            notes.append(f"consumed {item}")

    async def produce(name: str) -> None:
        await clock.sleep_until(1.0)
        notes.append(f"produced {name}")
        queue.put_nowait(name)

    async with asyncio.TaskGroup() as group:
        for work in (consume(), produce("x"), produce("y")):
            group.create_task(work)
        await clock.run()
    assert notes == ["produced x", "consumed x", "produced y", "consumed y"]


async def test_run_stops_at_its_end_and_goes_on_from_there() -> None:
    clock = VirtualClock(start=10.0)
    notes: list[tuple[float, str]] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(_note(clock, 12.0, notes, "early"))
        group.create_task(_note(clock, 20.0, notes, "late"))
        await clock.run(until=15.0)
        assert (clock.now(), notes) == (15.0, [(12.0, "early")])
        await clock.run(until=20.0)
    assert (clock.now(), notes[1]) == (20.0, (20.0, "late"))


async def test_a_cancelled_sleeper_does_not_hold_time_up() -> None:
    clock = VirtualClock()
    sleeper = asyncio.create_task(clock.sleep_until(5.0))
    await clock.run(until=1.0)
    sleeper.cancel()
    await clock.run()
    assert clock.now() == 1.0


async def test_time_does_not_advance_while_someone_still_works() -> None:
    clock, seen = VirtualClock(), []

    async def busy() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
            seen.append(clock.now())

    async with asyncio.TaskGroup() as group:
        group.create_task(busy())
        group.create_task(clock.sleep_until(1.0))
        await clock.run()
    assert seen == [0.0] * 50


async def test_drive_returns_the_result_and_passes_errors_on() -> None:
    clock = VirtualClock()

    async def answer() -> int:
        await clock.sleep_until(1.0)
        return 42

    async def fail() -> None:
        await clock.sleep_until(2.0)
        raise LookupError("gone")

    assert await clock.drive(answer()) == 42
    with pytest.raises(LookupError, match="gone"):
        await clock.drive(fail())


async def test_waiting_for_what_never_comes_is_an_error_and_not_a_hang() -> None:
    clock = VirtualClock()

    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(VirtualDeadlockError):
        await clock.drive(wait_for_ever())


async def test_a_clock_has_one_driver() -> None:
    clock = VirtualClock()

    async def drive_again() -> None:
        await clock.run(until=1.0)

    with pytest.raises(RuntimeError, match="driven already"):
        await clock.drive(drive_again())


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), max_size=6))
def test_a_virtual_run_is_a_discrete_event_simulation(naps: list[list[int]]) -> None:
    """Each task sleeps its naps one after the other; a heap of (instant, order of lying down) says who wakes when."""

    async def scenario() -> list[tuple[float, int]]:
        clock, woken = VirtualClock(), []

        async def sleeper(number: int) -> None:
            for nap in naps[number]:
                await clock.sleep_until(clock.now() + nap + 1)
                woken.append((clock.now(), number))

        async with asyncio.TaskGroup() as group:
            for number in range(len(naps)):
                group.create_task(sleeper(number))
            await clock.run()
        return woken

    woken = asyncio.run(scenario())
    assert woken == asyncio.run(scenario())
    assert woken == _reference(naps)


def _reference(naps: list[list[int]]) -> list[tuple[float, int]]:
    events = [(nap[0] + 1, number, number, 0) for number, nap in enumerate(naps)]
    order, woken = len(naps), []
    while events:
        instant, order_of_event, number, index = min(events)
        events.remove((instant, order_of_event, number, index))
        woken.append((float(instant), number))
        if index + 1 < len(naps[number]):
            events.append((instant + naps[number][index + 1] + 1, order, number, index + 1))
            order += 1
    return woken
