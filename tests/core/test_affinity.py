"""Placement by class: whose tokens are due one by one keep together, whose are not fill what is left."""

from collections import Counter
from collections.abc import Sequence

from niyama_core.affinity import ClassAffinity
from niyama_core.load import ClassLoad, ReplicaLoad
from niyama_core.placement_estimate import Candidate, PlacementRequest
from niyama_core.slo import Batch, Interactive, QosClass, QosClasses

CHAT = QosClass("chat", Interactive(ttft=6.0, tbt=0.05))
NIGHT = QosClass("night", Batch(ttlt=1800.0))
CLASSES = QosClasses({one.name: one for one in (CHAT, NIGHT)}, default="chat")


def replica(name: str, *, chat: int | None = None, night: int | None = None, pending: int = 0) -> Candidate:
    """Return a replica where so many prompt tokens of a class wait, beside one answer of it; None for no such work."""
    there = {"chat": chat, "night": night}
    classes = {
        qos_class: ClassLoad(queued_prefill_tokens=tokens, num_queued=int(tokens > 0), num_decoding=1)
        for qos_class, tokens in there.items()
        if tokens is not None
    }
    load = ReplicaLoad(name, f"{name}:1", classes=classes, prefill_tokens_per_second=10_000.0, iteration_seconds=0.02)
    return Candidate(load, pending_prefill_tokens=pending, num_pending=int(pending > 0))


def chosen(qos_class: QosClass, *candidates: Candidate, num_routers: int = 1, elapsed: float = 0.0) -> str:
    request = PlacementRequest(qos_class.promise(), 1000, expected_output_tokens=100, elapsed=elapsed)
    return ClassAffinity(CLASSES, num_routers).choose(request, candidates).replica


def test_interactive_requests_go_where_no_batch_work_is_and_it_is_soonest() -> None:
    assert chosen(CHAT, replica("a", night=0), replica("b", chat=9000), replica("c", chat=5000)) == "c"


def test_where_batch_work_is_everywhere_interactive_requests_fill_one_replica_after_the_other() -> None:
    crowd = [replica("a", chat=20_000, night=0), replica("b", night=0), replica("c", night=0)]
    assert chosen(CHAT, *crowd) == "a"
    full = replica("a", chat=30_000, night=0)
    assert chosen(CHAT, full, *crowd[1:]) == "b"


def test_time_that_has_passed_fills_a_replica_earlier() -> None:
    crowd = [replica("a", chat=20_000, night=0), replica("b", night=0)]
    assert chosen(CHAT, *crowd, elapsed=1.5) == "b"


def test_where_all_are_full_an_interactive_request_goes_where_it_is_soonest() -> None:
    crowd = [replica("a", chat=45_000, night=0), replica("b", chat=40_000, night=0)]
    assert chosen(CHAT, *crowd) == "b"


def test_batch_requests_go_to_idle_replicas_first() -> None:
    assert chosen(NIGHT, replica("a", chat=0), replica("b"), replica("c", night=0)) == "b"


def test_a_replica_that_something_was_placed_on_is_not_idle() -> None:
    assert chosen(NIGHT, replica("a", pending=100), replica("b")) == "b"


def test_batch_requests_fill_the_iterations_that_interactive_answers_bound() -> None:
    crowd = [replica("a", chat=50_000, night=8000), replica("b", chat=0, night=0), replica("c", night=0)]
    assert chosen(NIGHT, *crowd) == "a"


def test_beyond_a_chunk_in_stock_batch_requests_keep_away_from_interactive_ones() -> None:
    crowd = [replica("a", chat=0, night=8192), replica("b", night=50_000), replica("c", night=40_000)]
    assert chosen(NIGHT, *crowd) == "c"
    assert chosen(NIGHT, crowd[0]) == "a"


def test_what_was_placed_since_the_report_counts_as_stock() -> None:
    assert chosen(NIGHT, replica("a", chat=0, night=4000, pending=5000), replica("b", night=9000)) == "b"


def test_a_replica_that_keeps_the_promise_goes_before_one_that_suits_the_class() -> None:
    assert chosen(CHAT, replica("a", chat=90_000), replica("b", chat=0, night=0)) == "b"
    assert chosen(NIGHT, replica("a", chat=90_000, night=0), replica("b", night=0)) == "a"
    assert chosen(NIGHT, replica("a", chat=90_000, night=0), replica("b", night=0), elapsed=1795.0) == "b"


def test_routers_that_place_at_the_same_time_spread_over_as_many_of_the_best() -> None:
    crowd = [replica(name, night=tokens) for name, tokens in zip("abcdef", range(0, 60_000, 10_000), strict=True)]
    rule = ClassAffinity(CLASSES, num_routers=4)
    went = Counter(
        rule.choose(PlacementRequest(NIGHT.promise(), prompt, expected_output_tokens=10), crowd).replica
        for prompt in range(100, 500)
    )
    assert set(went) == set("abcd")
    assert max(went.values()) < 1.5 * min(went.values())


def test_the_same_requests_are_placed_alike_every_time() -> None:
    crowd: Sequence[Candidate] = [replica(name, night=0) for name in "abcd"]
    asked = [PlacementRequest(NIGHT.promise(), prompt, expected_output_tokens=10) for prompt in range(100, 200)]
    first, again = ClassAffinity(CLASSES, num_routers=3), ClassAffinity(CLASSES, num_routers=3)
    assert [first.choose(one, crowd) for one in asked] == [again.choose(one, crowd) for one in asked]
