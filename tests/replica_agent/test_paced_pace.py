"""How fast the paced engine is: as fast as its law says, whatever the event loop does."""

import asyncio
from functools import partial
from itertools import pairwise

import pytest
from niyama_core.policies import SchedulerSettings
from niyama_runtime.clock import VirtualClock

from tests.builders import SteadyLaw, a_batch_request, a_request
from tests.replica_agent.engine_room import asks, in_virtual_time, running_engine

TENTH = SteadyLaw(seconds=0.1, seconds_per_token=0.0)


def test_tokens_come_when_the_law_says() -> None:
    async def story(clock: VirtualClock) -> list[float]:
        async with running_engine(clock, law=TENTH) as room:
            return (await room.answer(asks(a_request(prompt=100), output=5))).emitted_at

    assert in_virtual_time(story) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_a_machine_twice_as_fast_takes_half_the_time() -> None:
    async def story(clock: VirtualClock) -> float:
        async with running_engine(clock, speed=2.0) as room:
            return (await room.answer(asks(output=50))).emitted_at[-1]

    async def slow_story(clock: VirtualClock) -> float:
        async with running_engine(clock) as room:
            return (await room.answer(asks(output=50))).emitted_at[-1]

    assert in_virtual_time(slow_story) == pytest.approx(2 * in_virtual_time(story), rel=1e-9)


@pytest.mark.parametrize("policy", ["niyama", "qoserve", "sarathi-fcfs"])
def test_a_faster_machine_plans_the_same_of_a_faster_world(policy: str) -> None:
    async def story(clock: VirtualClock, speed: float) -> list[tuple[object, ...]]:
        async with running_engine(clock, scheduler=SchedulerSettings(policy), speed=speed) as room:
            readers = []
            for i in range(20):
                await clock.sleep_until(i * 0.125 / speed)
                now, prompt = clock.now(), 500 + 397 * i % 4000
                chat = a_request(f"r{i}", ttft=2.0 / speed, tbt=0.05 / speed, arrival=now, prompt=prompt)
                job = a_batch_request(f"b{i}", ttlt=20.0 / speed, arrival=now, prompt=prompt)
                readers += [room.open(asks(chat, output=30)), room.open(asks(job, output=30))]
            for reader in readers:
                await reader.finished()
            return [(r.plan.decodes, r.plan.chunks, r.plan.relegated, r.plan.token_budget) for r in room.records]

    # A power of two, so that scaled times are the same floats but for the exponent.
    assert in_virtual_time(partial(story, speed=4.0)) == in_virtual_time(partial(story, speed=1.0))


def test_noise_is_the_same_for_the_same_seed_and_only_for_it() -> None:
    async def story(clock: VirtualClock, seed: int) -> list[float]:
        async with running_engine(clock, law=TENTH, noise=0.1, seed=seed) as room:
            return (await room.answer(asks(output=20))).emitted_at

    first, again, other = (in_virtual_time(partial(story, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({round(late - early, 6) for early, late in pairwise(first)}) > 10


def test_an_idle_engine_waits_for_nothing_but_work() -> None:
    async def story() -> tuple[float, int]:
        clock = VirtualClock()
        async with running_engine(clock) as room:
            reader = room.open(asks(output=5))
            # Returns when nobody sleeps any more: an engine that looked for work by the clock would keep it going.
            await clock.run()
            await reader.finished()
            return clock.now(), len(room.records)

    seconds, num_iterations = asyncio.run(story())
    assert seconds < 1
    assert num_iterations < 10


class LateClock(VirtualClock):
    """A virtual clock whose sleepers wake late, as on a busy event loop."""

    def __init__(self, lateness: float) -> None:
        super().__init__()
        self.lateness = lateness

    async def sleep_until(self, instant: float) -> None:
        await super().sleep_until(max(instant, self.now()) + self.lateness)


def test_a_late_event_loop_does_not_slow_the_engine_down() -> None:
    async def story() -> list[float]:
        clock = LateClock(lateness=0.03)
        async with running_engine(clock, law=TENTH) as room:
            return (await clock.drive(room.answer(asks(a_request(prompt=100), output=200)))).emitted_at

    emitted_at = asyncio.run(story())
    assert emitted_at == pytest.approx([0.1 * (i + 1) + 0.03 for i in range(200)])


def test_after_a_stall_the_engine_does_not_rush_through_all_it_has_missed() -> None:
    async def story() -> list[float]:
        clock = LateClock(lateness=0.0)
        async with running_engine(clock, law=TENTH) as room:

            async def stall() -> None:
                await clock.sleep_until(0.95)
                clock.lateness = 10.0
                await VirtualClock.sleep_until(clock, 1.05)
                clock.lateness = 0.0

            stalled = asyncio.create_task(stall())
            reader = await clock.drive(room.answer(asks(a_request(prompt=100), output=50)))
            await stalled
            return reader.emitted_at

    emitted_at = asyncio.run(story())
    stalled_until = max(late for early, late in pairwise(emitted_at) if late > early + 5)
    caught_up = sum(stalled_until <= at < stalled_until + 0.01 for at in emitted_at)
    assert caught_up <= 4
    assert emitted_at[-1] - stalled_until > 3.0
