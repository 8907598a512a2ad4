"""Appointments: those who come back when told find room, whatever the load and however many obey."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import replace as changed

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.door import Asked, Door
from niyama_core.placement import Candidate, Placed, PlacementRequest, Refusal, RefusalReason, build_placement
from niyama_core.slo import Batch, Interactive, OnOverload, Promise, QosClass, QosClasses
from niyama_core.waitlist import TARGET, Arrival, Waitlist

from tests.builders import a_load

PROMISED = 10.0
JITTER = 0.1


def an_arrival(name: str = "a", *, wait: float = 0.0, work: float = 0.1) -> Arrival:
    return Arrival(request_id=name, wait=wait, promised=PROMISED, work=work)


def refused(waitlist: Waitlist, arrival: Arrival, now: float) -> float:
    seconds = waitlist.ask(arrival, now)
    assert seconds is not None
    return seconds


def test_whoever_finds_room_is_let_in() -> None:
    waitlist = Waitlist()
    assert waitlist.ask(an_arrival(wait=PROMISED), 0.0) is None
    assert len(waitlist) == 0


def test_whoever_finds_none_is_told_when_the_wait_will_have_drained() -> None:
    assert refused(Waitlist(), an_arrival(wait=14.0, work=0.5), 0.0) == pytest.approx(4.0)


def test_each_further_appointment_is_later_by_the_work_of_the_one_before() -> None:
    waitlist = Waitlist()
    told = [refused(waitlist, an_arrival(f"r{number}", wait=14.0, work=0.5), 0.0) for number in range(3)]
    assert told == pytest.approx([4.0, 4.5, 5.0])
    assert len(waitlist) == 3


def test_several_routers_give_appointments_further_apart() -> None:
    waitlist = Waitlist()
    told = [waitlist.ask(an_arrival(f"r{number}", wait=14.0), 0.0, num_routers=4) for number in range(2)]
    assert told == pytest.approx([4.0, 4.4])


def test_whoever_comes_early_is_reminded_of_the_time() -> None:
    waitlist = Waitlist()
    refused(waitlist, an_arrival(wait=14.0, work=0.0), 0.0)
    assert refused(waitlist, an_arrival(wait=13.0, work=0.0), 1.0) == pytest.approx(3.0)
    assert waitlist.ask(an_arrival(wait=9.0), 2.0) is None


def test_whoever_keeps_an_appointment_in_vain_gets_another_at_once() -> None:
    waitlist = Waitlist()
    refused(waitlist, an_arrival(wait=14.0, work=0.0), 0.0)
    for number in range(50):
        refused(waitlist, an_arrival(f"r{number}", wait=14.0), 0.1)
    assert refused(waitlist, an_arrival(wait=11.0, work=0.0), 4.0) < 2.0


def test_room_is_kept_for_those_who_come_back_once_they_have_found_none() -> None:
    waitlist = Waitlist()
    for number in range(20):
        told = refused(waitlist, an_arrival("a", wait=14.0), 20.0 * number)
        refused(waitlist, an_arrival("a", wait=10.5), 20.0 * number + told)
        waitlist.ask(an_arrival("a", wait=0.0), 20.0 * number + 15.0)
    assert refused(waitlist, an_arrival("new", wait=9.5), 500.0) > 0


def test_a_time_is_bounded_however_long_the_wait() -> None:
    assert refused(Waitlist(), an_arrival(wait=1e9), 0.0) <= 60.0


def test_those_who_never_come_back_are_forgotten() -> None:
    waitlist = Waitlist()
    for number in range(100):
        refused(waitlist, an_arrival(f"r{number}", wait=10.5), 40.0 * number)
    assert len(waitlist) == 1


def test_where_few_come_back_appointments_are_closer_together() -> None:
    def gap(waitlist: Waitlist, now: float) -> float:
        first, second = (refused(waitlist, an_arrival(f"{name} {now}", wait=15.0, work=1.0), now) for name in "ab")
        return second - first

    waitlist = Waitlist()
    assert gap(waitlist, 0.0) == pytest.approx(1.0)
    for number in range(1, 100):
        gap(waitlist, 30.0 * number)
    assert gap(waitlist, 3000.0) < 0.2


def test_the_line_is_bounded() -> None:
    waitlist = Waitlist()
    for number in range(10_100):
        refused(waitlist, an_arrival(f"r{number}", wait=100.0), 0.0)
    assert len(waitlist) == 10_000


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 100), st.floats(0, 10), st.floats(0, 60)), max_size=60)
)
def test_a_time_is_always_ahead_and_nobody_waits_who_has_room(steps: list[tuple[str, float, float, float]]) -> None:
    waitlist, now = Waitlist(), 0.0
    for name, wait, work, pause in steps:
        now += pause
        told = waitlist.ask(an_arrival(name, wait=wait, work=work), now)
        assert told is None or 0.1 <= told <= 60.0
        assert told is None or wait > 0.5 * PROMISED
        assert told is not None or wait <= PROMISED


@dataclass
class Queue:
    """A cluster as one queue: work drains at one second a second, less what others take; and clients of it.

    Attributes:
        load: work that comes, in seconds a second.
        others: share of the time that is not ours, at each instant.
        obey: share of those refused who come back when told, if that is within `longest` seconds.
        noise: spread of the estimated wait.
    """

    load: float
    others: Callable[[float], float] = lambda now: 0.0
    obey: float = 1.0
    longest: float = 59.0
    noise: float = 0.1
    num_routers: int = 1
    work: float = 0.05
    seconds: float = 400.0
    came_back: list[bool] = field(default_factory=list, repr=False)
    busy: float = 0.0

    def run(self) -> "Queue":
        rng = random.Random(1)
        waitlists = [Waitlist() for _ in range(self.num_routers)]
        events: list[tuple[float, int, bool, float]] = []
        at = 0.0
        while at < self.seconds:
            at += rng.expovariate(self.load / self.work)
            heapq.heappush(events, (at, len(events), False, rng.expovariate(1 / self.work)))
        queued = last = 0.0
        while events:
            now, number, is_back, work = heapq.heappop(events)
            drained = min(queued, (now - last) * (1 - self.others(now)))
            self.busy += drained / self.seconds
            queued, last = queued - drained, now
            wait = queued * rng.uniform(1 - self.noise, 1 + self.noise) + work
            arrival = an_arrival(str(number), wait=wait, work=work)
            told = waitlists[number % self.num_routers].ask(arrival, now, num_routers=self.num_routers)
            if is_back and now > self.seconds / 4:
                self.came_back.append(told is None)
            if told is None:
                queued += work
            elif not is_back and told < self.longest and rng.random() < self.obey:
                heapq.heappush(events, (now + told * (1 + JITTER * rng.random()), number, True, work))
        return self

    @property
    def share(self) -> float:
        return sum(self.came_back) / len(self.came_back)


@pytest.mark.parametrize(
    "queue",
    [
        Queue(load=1.2),
        Queue(load=1.5, others=lambda now: 0.5),
        Queue(load=3.0, obey=0.3),
        Queue(load=1.5, obey=0.3),
        Queue(load=1.5, noise=0.3),
        Queue(load=1.5, num_routers=2),
        Queue(load=1.5, num_routers=4),
        Queue(load=1.5, work=0.5, seconds=2000.0),
    ],
    ids=lambda queue: f"load {queue.load}, obey {queue.obey}, {queue.num_routers} routers, noise {queue.noise}",
)
def test_of_those_who_obey_nine_in_ten_are_let_in_and_nothing_stands_idle(queue: Queue) -> None:
    queue.run()
    assert len(queue.came_back) > 100
    assert round(queue.share, 3) == pytest.approx(TARGET, abs=0.05)
    assert queue.busy > 0.97 * (1 - queue.others(0.0))


def test_a_load_that_swings_costs_some_of_them_their_room() -> None:
    swinging = Queue(load=1.5, others=lambda now: 0.6 if now // 30 % 2 else 0.1).run()
    assert round(swinging.share, 3) > 0.75


STRICT = QosClass("strict", Interactive(ttft=5.0, tbt=0.05), on_overload=OnOverload.REJECT)
JOB = QosClass("job", Batch(ttlt=5.0))
CLASSES = QosClasses({one.name: one for one in (STRICT, JOB)}, default="strict")


def at_the_door(promise: Promise, *candidates: Candidate, door: Door | None = None) -> Placed | Refusal:
    request = PlacementRequest(promise, num_prompt_tokens=1000, expected_output_tokens=1)
    return (door or Door()).place(Asked(request, "a"), candidates, policy=build_placement("niyama", CLASSES), now=0.0)


def test_only_classes_that_say_so_are_turned_away() -> None:
    busy = Candidate(a_load(strict=9000))
    refusal = at_the_door(STRICT.promise(), busy)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is RefusalReason.OVERLOAD
    # 10,000 tokens and an iteration, at 1,000 a second; 5 s were promised.
    assert refusal.retry_after == pytest.approx(5.02)
    for other in (JOB.promise(), changed(STRICT.promise(), on_overload=OnOverload.QUEUE)):
        assert isinstance(at_the_door(other, busy), Placed)
    assert isinstance(at_the_door(STRICT.promise(), Candidate(a_load())), Placed)


def test_without_a_replica_nobody_gets_an_appointment() -> None:
    door = Door()
    refusal = at_the_door(STRICT.promise(), door=door)
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, door.num_waiting) == (RefusalReason.NO_REPLICA, 0)


def test_forecasts_that_are_known_to_be_too_low_are_stretched() -> None:
    request = PlacementRequest(STRICT.promise(), num_prompt_tokens=1000, expected_output_tokens=1)
    policy, idle = build_placement("niyama", CLASSES), [Candidate(a_load())]

    def place(stretch: float) -> Placed | Refusal:
        asked = Asked(request, "a", seconds_for=lambda seconds: stretch * seconds)
        return Door().place(asked, idle, policy=policy, now=0.0)

    assert isinstance(place(2.0), Placed)
    assert isinstance(place(6.0), Refusal)
