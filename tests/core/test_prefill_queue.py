"""The queue of waiting prefills against a sorted list."""

from hypothesis import given
from hypothesis import strategies as st
from niyama_core.prefill_queue import PrefillQueue
from niyama_core.request import LiveRequest

from tests.builders import a_live_request, a_request


def a_waiting(name: str, prompt: int = 100, *, turn: int = 0) -> LiveRequest:
    return a_live_request(a_request(name, prompt=prompt), turn=turn)


def a_queue(*lives: LiveRequest) -> PrefillQueue:
    queue = PrefillQueue(lambda live: float(live.prefill_remaining))
    for live in lives:
        queue.put(live)
    return queue


def walk(queue: PrefillQueue) -> list[str]:
    """Look at every request in order, and leave all in place."""
    names = []
    while (live := queue.peek()) is not None:
        names.append(live.request.request_id)
        queue.skip()
    queue.rewind()
    return names


@given(st.lists(st.integers(1, 50)))
def test_requests_come_by_key_and_equal_ones_by_turn(prompts: list[int]) -> None:
    lives = [a_waiting(f"r{index}", prompt, turn=index) for index, prompt in enumerate(prompts)]
    expected = [live.request.request_id for live in sorted(lives, key=lambda live: live.prefill_remaining)]
    assert walk(a_queue(*lives)) == expected


def test_looking_leaves_the_queue_as_it_was() -> None:
    queue = a_queue(a_waiting("long", 9), a_waiting("short", 1), a_waiting("also short", 1))
    assert walk(queue) == walk(queue) == ["short", "also short", "long"]


def test_a_request_that_advanced_stands_in_its_new_place_only() -> None:
    long, short = a_waiting("long", 100), a_waiting("short", 50)
    queue = a_queue(long, short)
    long.advance_prefill(80, now=0.0)
    queue.put(long)
    assert walk(queue) == ["long", "short"]


def test_a_request_that_advanced_keeps_its_turn_among_equals() -> None:
    first, second = a_waiting("first", 100, turn=1), a_waiting("second", 80, turn=2)
    queue = a_queue(first, second)
    first.advance_prefill(20, now=0.0)
    queue.put(first)
    assert walk(queue) == ["first", "second"]


def test_a_removed_request_is_gone_wherever_it_stood() -> None:
    lives = [a_waiting(f"r{index}", index + 1) for index in range(3)]
    queue = a_queue(*lives)
    assert queue.remove(lives[1])
    assert not queue.remove(lives[1])
    assert (walk(queue), len(queue), list(queue)) == (["r0", "r2"], 2, [lives[0], lives[2]])


def test_a_request_may_come_back() -> None:
    live = a_waiting("again")
    queue = a_queue(live)
    queue.remove(live)
    queue.put(live)
    assert walk(queue) == ["again"]


@given(st.lists(st.tuples(st.sampled_from(["put", "advance", "remove", "skip", "rewind"]), st.integers(0, 9))))
def test_the_queue_is_a_sorted_list_in_disguise(steps: list[tuple[str, int]]) -> None:
    queue, model = a_queue(), dict[str, LiveRequest]()
    skipped = set[str]()
    for serial, (step, which) in enumerate(steps):
        if step == "put":
            live = a_waiting(f"r{serial}", prompt=1000 + which)
            queue.put(live)
            model[live.request.request_id] = live
        elif step == "skip" and (head := queue.peek()) is not None:
            skipped.add(head.request.request_id)
            queue.skip()
        elif step == "rewind":
            queue.rewind()
            skipped.clear()
        elif step in {"advance", "remove"} and model:
            live = list(model.values())[which % len(model)]
            if live.request.request_id in skipped:
                continue
            if step == "remove":
                assert queue.remove(model.pop(live.request.request_id))
            else:
                live.advance_prefill(7, now=0.0)
                queue.put(live)
        visible = [live for name, live in model.items() if name not in skipped]
        next_live = queue.peek()
        least = min((live.prefill_remaining for live in visible), default=None)
        assert (next_live.prefill_remaining if next_live else None) == least
    queue.rewind()
    assert sorted(walk(queue)) == sorted(model)


def test_void_entries_do_not_outgrow_the_queue() -> None:
    queue = a_queue(a_waiting("head", 1))
    for index in range(5000):
        passing = a_waiting(f"r{index}", prompt=500)
        queue.put(passing)
        queue.remove(passing)
    assert len(queue._heap) < 100
