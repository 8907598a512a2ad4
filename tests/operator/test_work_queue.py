"""The work queue: many changes are one piece of work, one failing cluster is its own, nothing runs twice at once."""

import asyncio

from niyama_operator.work_queue import Key, WorkQueue
from niyama_runtime.clock import MonotonicClock

A, B = Key("models", "a"), Key("models", "b")


class Worker:
    """Notes what it is given, and fails or tarries where it is told to."""

    def __init__(self, *, failing: Key | None = None, seconds: float = 0.0) -> None:
        self.done: list[Key] = []
        self.failing = failing
        self.seconds = seconds
        self.at_once = 0
        self.most_at_once = 0

    async def __call__(self, key: Key) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.seconds)
        self.at_once -= 1
        self.done.append(key)
        if key == self.failing:
            raise RuntimeError("so it goes")


async def run_for(seconds: float, queue: WorkQueue, *, work: Worker) -> None:
    running = asyncio.create_task(queue.run(work))
    await asyncio.sleep(seconds)
    running.cancel()
    await asyncio.wait((running,))


async def test_many_changes_make_one_piece_of_work() -> None:
    queue, work = WorkQueue(MonotonicClock()), Worker()
    for _ in range(100):
        queue.add(A)
    await run_for(0.5, queue, work=work)
    assert work.done == [A]
    assert len(queue) == 0


async def test_a_cluster_that_fails_is_tried_again_and_holds_up_nobody() -> None:
    queue, work = WorkQueue(MonotonicClock()), Worker(failing=A)
    queue.add(A, after=0)
    queue.add(B, after=0)
    await run_for(2.5, queue, work=work)
    assert work.done.count(A) >= 2
    assert work.done.count(B) == 1


async def test_a_cluster_is_worked_on_once_at_a_time_and_again_when_it_changed_meanwhile() -> None:
    queue, work = WorkQueue(MonotonicClock()), Worker(seconds=0.3)
    queue.add(A, after=0)
    running = asyncio.create_task(queue.run(work))
    await asyncio.sleep(0.1)
    queue.add(A, after=0)
    await asyncio.sleep(2.0)
    running.cancel()
    await asyncio.wait((running,))
    assert work.done == [A, A]
    assert work.most_at_once == 1
