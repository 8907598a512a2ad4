"""The bench of losses: what it makes of what it sees, and that nothing is lost when it is run."""

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from bench.losses.account import account_of, as_json, as_text
from bench.losses.faults import Fault, Kind, faults
from bench.losses.network import cannot_cut
from bench.losses.ordeal import Happening, Ordeal
from bench.losses.recovery import held_up
from bench.losses.stage import Cast
from bench.losses.steadiness import Sample, judge
from bench.losses.streams import Ending, Stream

ROOT = Path(__file__).parents[2]


def a_stream(*times: float, ending: Ending = Ending.COMPLETED, is_plain: bool = False, number: int = 0) -> Stream:
    stream = Stream(number, is_plain, sent=times[0] - 0.5 if times else 0.0, times=list(times), accepted=bool(times))
    stream.ending = ending
    return stream


def ticking(until: float, *, since: float = 0.0, gap: float = 0.1) -> tuple[float, ...]:
    return tuple(since + index * gap for index in range(round((until - since) / gap)))


def test_a_stream_is_held_up_when_its_gap_at_the_fault_is_much_larger_than_its_others() -> None:
    flowing = a_stream(*ticking(20))
    held = a_stream(*ticking(10.0), *ticking(20, since=12.5))
    later = a_stream(*ticking(20, since=14.0))
    seen = held_up([flowing, held, later], began=10.0, ended=13.0)
    assert seen.num_open == 2
    assert seen.seconds == pytest.approx((2.5,))
    assert seen.first_tokens == ()


def test_an_answer_that_never_goes_on_is_held_up_for_ever() -> None:
    (seconds,) = held_up([a_stream(*ticking(10), ending=Ending.OPEN)], began=12.0, ended=13.0).seconds
    assert math.isinf(seconds)


def test_requests_that_are_sent_during_a_fault_are_judged_by_their_first_token() -> None:
    seen = held_up([a_stream(*ticking(20, since=11.5))], began=10.5, ended=13.0)
    assert seen.first_tokens == pytest.approx((0.5,))


def test_what_plain_clients_see_is_counted_apart() -> None:
    broken = a_stream(*ticking(3), ending=Ending.FAILED, is_plain=True)
    broken.error = "UNAVAILABLE: gone"
    lost = a_stream(*ticking(3), ending=Ending.OPEN, number=1)
    lost.error = "DEADLINE_EXCEEDED: too late"
    fault = Fault(Kind.KILL, "router", ("router-0",), 2.0)
    ordeal = Ordeal([a_stream(*ticking(3)), broken, lost], [Happening(fault, 1.0, 3.0, 4.0)], seconds=5.0)
    account = account_of(ordeal)
    assert (account.num_sent, account.num_lost, account.is_well) == (3, 1, False)
    assert (account.plain_errors, account.sdk_errors) == ({"UNAVAILABLE": 1}, {"DEADLINE_EXCEEDED": 1})
    assert "kill -9 router" in as_text(account)
    json.dumps(as_json(account))
    ordeal.streams = ordeal.streams[:2]
    assert account_of(ordeal).is_well


def test_each_fault_comes_once_and_then_at_random_by_the_seed() -> None:
    def some(seed: int) -> list[str]:
        return [str(fault) for fault in itertools.islice(faults(Cast(), seed=seed, can_cut=True), 40)]

    once = [fault.title for fault in itertools.islice(faults(Cast(), seed=1, can_cut=True), 10)]
    assert len(set(once)) == 10
    assert some(1) == some(1) != some(2)


def test_without_partitions_there_are_none_and_the_spared_are_never_killed() -> None:
    seen = list(itertools.islice(faults(Cast(), seed=1, can_cut=False, spared=("router-0",)), 200))
    assert {fault.kind for fault in seen} == {Kind.KILL, Kind.PAUSE}
    assert not any(fault.kind is Kind.KILL and fault.names == ("router-0",) for fault in seen)


def samples(*memory_mb: float, files: int = 20) -> list[Sample]:
    return [Sample(float(second), mb * 1e6, files) for second, mb in enumerate(memory_mb)]


def test_memory_that_settles_is_flat_and_memory_that_goes_on_growing_is_not() -> None:
    settled = judge(samples(*(60 + min(second, 30) for second in range(180))))
    growing = judge(samples(*(60 + second / 4 for second in range(180))))
    assert settled is not None
    assert settled.is_flat
    assert growing is not None
    assert not growing.is_flat
    assert judge(samples(60)) is None


def test_files_that_are_left_open_are_seen() -> None:
    leaking = judge([Sample(float(second), 6e7, second // 5) for second in range(180)])
    assert leaking is not None
    assert not leaking.is_flat


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_is_lost_whatever_happens() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "bench.losses", "--requests", "500", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr + result.stdout
    account = json.loads(result.stdout)
    assert account["num_accepted"] <= account["num_sent"] == 500
    assert account["num_moved"], "no fault was felt"
    assert account["num_reconnected"], "no fault was felt"
    assert ("partition client from router" in account["faults"]) == (not cannot_cut())


@pytest.mark.slow
@pytest.mark.timeout(360)
def test_memory_and_files_stay_what_they_are() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "bench.soak", "--minutes", "2.5", "--load", "0.35"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr + result.stdout
