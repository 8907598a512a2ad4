"""What the router knows of its replicas: membership, liveness and the age of loads, each on its own."""

import asyncio
from dataclasses import replace

import pytest
from niyama_core.load import ClassLoad, ReplicaLoad
from niyama_core.placement import Candidate
from niyama_router.directory import Directory
from niyama_router.load_store import Sighting
from niyama_runtime.load_board import Change, MembershipChange


def a_load(name: str = "a", **fields: object) -> ReplicaLoad:
    return replace(ReplicaLoad(name, f"{name}:1", sequence=1, incarnation=1), **fields)  # type: ignore[arg-type]


BUSY = {"chat": ClassLoad(num_decoding=1)}


class Scene:
    """A directory, and the time on the test's own clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.directory = Directory()

    def read(self, *loads: ReplicaLoad, age: float = 0.0, silent: float = 0.0) -> None:
        """Read a board that names these and no others."""
        self.directory.see([Sighting(load, age, silent) for load in loads], self.now, listed=True)

    def ask(self, *loads: ReplicaLoad) -> None:
        """Hear from the replicas themselves."""
        self.directory.see([Sighting(load, 0.0, 0.0, is_direct=True) for load in loads], self.now)

    def hear(self, name: str, change: Change) -> None:
        self.directory.hear(MembershipChange(name, change), self.now)

    @property
    def names(self) -> set[str]:
        return {candidate.load.replica for candidate in self.directory.candidates(self.now)}

    def candidate(self, name: str = "a") -> Candidate:
        return next(c for c in self.directory.candidates(self.now) if c.load.replica == name)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_replica_that_is_read_can_be_placed_on(scene: Scene) -> None:
    scene.read(a_load("a"), a_load("b"))
    assert scene.names == {"a", "b"}


def test_a_replica_that_begins_to_drain_is_left_alone_at_once(scene: Scene) -> None:
    scene.read(a_load("a"), a_load("b"))
    scene.hear("a", Change.DRAINING)
    assert scene.names == {"b"}


def test_a_replica_that_left_is_forgotten_once_its_streams_have_ended(scene: Scene) -> None:
    scene.read(a_load("a"), a_load("b"))
    booking = scene.directory.book("a", 10)
    scene.hear("a", Change.LEFT)
    scene.read(a_load("b"))
    assert scene.names == {"b"}
    assert len(scene.directory) == 2
    booking.close()
    scene.read(a_load("b"))
    assert len(scene.directory) == 1


def test_news_of_replicas_that_nobody_has_seen_change_nothing(scene: Scene) -> None:
    for change in Change:
        scene.hear("stranger", change)
    assert len(scene.directory) == 0


def test_a_silent_replica_is_not_placed_on_while_others_speak(scene: Scene) -> None:
    scene.read(a_load("a"), a_load("b"))
    scene.now += 10
    scene.read(a_load("b"))
    assert scene.names == {"b"}


def test_when_all_are_silent_the_last_known_pool_is_kept(scene: Scene) -> None:
    scene.read(a_load("a"), a_load("b"))
    scene.now += 30
    assert scene.names == {"a", "b"}


def test_an_emptied_board_empties_no_pool(scene: Scene) -> None:
    scene.read(a_load("a"), a_load("b"))
    scene.read()
    assert scene.names == {"a", "b"}
    assert scene.directory.addresses_to_ask(scene.now) == {"a:1", "b:1"}


def test_replicas_that_the_board_names_are_not_asked(scene: Scene) -> None:
    scene.read(a_load("a"))
    assert scene.directory.addresses_to_ask(scene.now) == set()


def test_without_a_board_all_are_asked(scene: Scene) -> None:
    scene.read(a_load("a"))
    scene.directory.unlist()
    assert scene.directory.addresses_to_ask(scene.now) == {"a:1"}


def test_a_member_that_is_silent_on_the_board_is_asked_itself(scene: Scene) -> None:
    scene.read(a_load("a"), silent=2.0)
    assert scene.directory.addresses_to_ask(scene.now) == {"a:1"}


def test_a_replica_whose_call_broke_comes_back_when_it_answers_this_router(scene: Scene) -> None:
    scene.read(a_load("a"), a_load("b"))
    scene.directory.lose("a", 1, now=scene.now)
    assert scene.names == {"b"}
    scene.now += 0.1
    scene.read(a_load("a"), a_load("b"))
    assert scene.names == {"b"}, "it lives, and this router cannot reach it"
    assert scene.directory.addresses_to_ask(scene.now) == {"a:1"}
    scene.ask(a_load("a"))
    assert scene.names == {"a", "b"}
    assert scene.directory.addresses_to_ask(scene.now) == set()


def test_a_replica_that_left_does_not_come_back_by_what_it_answers(scene: Scene) -> None:
    scene.read(a_load("a"), a_load("b"))
    scene.hear("a", Change.LEFT)
    scene.ask(a_load("a", draining=True))
    assert scene.names == {"b"}


def test_a_break_that_an_earlier_start_caused_says_nothing_of_the_present_one(scene: Scene) -> None:
    scene.read(a_load("a", incarnation=2), a_load("b"))
    scene.directory.lose("a", 1, now=scene.now)
    assert scene.names == {"a", "b"}


def test_a_restart_ends_what_was_known(scene: Scene) -> None:
    scene.read(a_load("a", draining=True, sequence=90))
    scene.read(a_load("a", incarnation=2, sequence=1))
    assert scene.names == {"a"}


def test_an_older_report_of_the_same_start_is_only_a_sign_of_life(scene: Scene) -> None:
    scene.read(a_load("a", sequence=5, kv_used_tokens=7))
    scene.now += 2
    scene.ask(a_load("a", sequence=4, kv_used_tokens=3))
    assert scene.candidate().load.kv_used_tokens == 7
    assert scene.directory.addresses_to_ask(scene.now) == set()


def test_what_nobody_heard_of_for_long_is_forgotten(scene: Scene) -> None:
    scene.read(a_load("a"), a_load("b"))
    scene.now += 100
    scene.read(a_load("b"))
    assert len(scene.directory) == 1


def test_other_routers_are_taken_to_have_placed_as_much(scene: Scene) -> None:
    scene.read(a_load(sequence=5))
    scene.directory.book("a", 300)
    (seen,) = scene.directory.candidates(scene.now, num_routers=4)
    assert (seen.pending_prefill_tokens, seen.num_pending) == (1200, 4)


def test_a_placed_request_is_pending_until_a_report_was_begun_after_it(scene: Scene) -> None:
    scene.read(a_load(sequence=5))
    scene.directory.book("a", 300)
    assert (scene.candidate().pending_prefill_tokens, scene.candidate().num_pending) == (300, 1)
    scene.read(a_load(sequence=6))
    assert scene.candidate().pending_prefill_tokens == 300, "report 6 may have been on its way before the request"
    scene.read(a_load(sequence=7))
    assert (scene.candidate().pending_prefill_tokens, scene.candidate().num_pending) == (0, 0)


def test_a_placed_request_is_pending_no_longer_when_it_has_a_token_or_is_gone(scene: Scene) -> None:
    scene.read(a_load())
    first, second = scene.directory.book("a", 300), scene.directory.book("a", 40)
    first.settle()
    assert scene.candidate().pending_prefill_tokens == 40
    second.close()
    first.close()
    assert (scene.candidate().pending_prefill_tokens, scene.directory.replicas()[0].num_open) == (0, 0)


def test_a_restart_ends_what_was_pending(scene: Scene) -> None:
    scene.read(a_load())
    scene.directory.book("a", 300)
    scene.read(a_load(incarnation=2))
    assert scene.candidate().pending_prefill_tokens == 0


def test_an_idle_replica_that_gives_signs_of_life_has_a_load_of_today(scene: Scene) -> None:
    scene.read(a_load(), age=500.0, silent=0.4)
    assert scene.candidate().age == pytest.approx(0.4)


def test_a_busy_replica_that_has_nothing_new_to_say_is_trusted_less(scene: Scene) -> None:
    scene.read(a_load(classes=BUSY), age=5.0, silent=0.4)
    assert scene.candidate().age == pytest.approx(5.0)


async def test_those_who_wait_wake_when_a_replica_comes(scene: Scene) -> None:
    waiting = asyncio.create_task(scene.directory.wait_for_change(5.0))
    await asyncio.sleep(0)
    scene.read(a_load())
    assert await asyncio.wait_for(waiting, 1.0)


async def test_those_who_wait_are_not_woken_by_a_mere_report(scene: Scene) -> None:
    scene.read(a_load())
    waiting = asyncio.create_task(scene.directory.wait_for_change(0.05))
    await asyncio.sleep(0)
    scene.read(a_load(sequence=2))
    assert not await waiting
