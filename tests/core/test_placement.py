"""Where requests go: policies, feasibility, refusal and rescue."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.load import ClassLoad, ReplicaLoad
from niyama_core.placement import (
    PLACEMENTS,
    Candidate,
    Placed,
    PlacementRequest,
    Refusal,
    RefusalReason,
    build_placement,
    place,
    rescue,
)
from niyama_core.slo import Batch, Importance, Interactive, OnOverload, Promise, QosClass, QosClasses

from tests.builders import a_load

CHAT = QosClass("chat", Interactive(ttft=6.0, tbt=0.05))
FAST = QosClass("fast", Interactive(ttft=1.0, tbt=0.05))
NIGHT = QosClass("night", Batch(ttlt=1800.0), Importance.LOW)
CLASSES = QosClasses({c.name: c for c in (CHAT, FAST, NIGHT)}, default="chat")


def a_candidate(name: str = "a", *, age: float = 0.0, pending: int = 0, **load: float) -> Candidate:
    return Candidate(a_load(name, **load), age, pending, int(pending > 0))  # type: ignore[arg-type]


def a_placement_request(qos_class: QosClass = CHAT, *, prompt: int = 1000, elapsed: float = 0.0) -> PlacementRequest:
    return PlacementRequest(qos_class.promise(), prompt, expected_output_tokens=100, elapsed=elapsed)


def placed(request: PlacementRequest, *candidates: Candidate, policy: str = "niyama") -> Placed:
    result = place(request, candidates, policy=build_placement(policy, CLASSES))
    assert isinstance(result, Placed)
    return result


def test_round_robin_takes_turns_in_the_order_of_names_whatever_the_load() -> None:
    policy = build_placement("round-robin", CLASSES)
    candidates = [a_candidate("b"), a_candidate("a", chat=10**6), a_candidate("c")]
    chosen = [place(a_placement_request(), candidates, policy=policy) for _ in range(4)]
    assert [each.replica for each in chosen if isinstance(each, Placed)] == ["a", "b", "c", "a"]


def test_round_robin_takes_turns_in_each_pool_for_itself() -> None:
    policy = build_placement("round-robin", CLASSES)
    chats = [replace(a_candidate(name), serves=frozenset({"chat"})) for name in "ab"]
    nights = [replace(a_candidate(name), serves=frozenset({"night"})) for name in "cd"]
    requests = [a_placement_request(one) for one in (CHAT, NIGHT, NIGHT, CHAT, NIGHT)]
    chosen = [place(request, [*chats, *nights], policy=policy) for request in requests]
    assert [each.replica for each in chosen if isinstance(each, Placed)] == ["a", "c", "d", "b", "c"]


def test_a_class_whose_pool_is_gone_goes_nowhere() -> None:
    candidate = replace(a_candidate(), serves=frozenset({"night"}))
    refusal = place(a_placement_request(CHAT), [candidate], policy=build_placement("niyama", CLASSES))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is RefusalReason.NO_REPLICA


def test_least_loaded_counts_what_waits_and_what_was_placed_since() -> None:
    candidates = [a_candidate("a", chat=500), a_candidate("b", chat=100, pending=300), a_candidate("c", chat=450)]
    assert placed(a_placement_request(), *candidates, policy="least-loaded").replica == "b"


def test_of_replicas_without_work_the_one_with_fewer_requests_is_least_loaded() -> None:
    decoding = replace(a_load("a"), classes={"chat": ClassLoad(num_decoding=5)})
    candidates = [Candidate(decoding), a_candidate("b")]
    assert placed(a_placement_request(), *candidates, policy="least-loaded").replica == "b"


def test_a_request_goes_where_it_is_served_soonest() -> None:
    assert placed(a_placement_request(), a_candidate("a", chat=3000), a_candidate("b", chat=500)).replica == "b"


def test_work_that_is_less_urgent_is_not_ahead() -> None:
    night, fast = a_candidate("a", night=100_000), a_candidate("b", fast=2000)
    assert placed(a_placement_request(CHAT), night).expected_seconds < 2.0
    assert placed(a_placement_request(CHAT), fast).expected_seconds > 3.0
    assert placed(a_placement_request(NIGHT), night).expected_seconds > 100.0


def test_work_of_a_class_that_nobody_knows_counts_as_ahead() -> None:
    assert placed(a_placement_request(), a_candidate("a", gone=3000), a_candidate("b", chat=500)).replica == "b"


def test_relegated_work_is_ahead_of_nobody() -> None:
    relegated = ClassLoad(num_relegated=9, relegated_prefill_tokens=10**6)
    load = replace(a_load("a"), classes={"chat": relegated})
    assert placed(a_placement_request(), Candidate(load), a_candidate("b", chat=500)).replica == "a"


def test_what_was_placed_since_the_report_counts() -> None:
    assert placed(a_placement_request(), a_candidate("a", pending=4000), a_candidate("b", chat=500)).replica == "b"


def test_a_quicker_replica_is_worth_a_longer_queue() -> None:
    assert placed(a_placement_request(), a_candidate("a"), a_candidate("b", rate=4000.0, chat=2000)).replica == "b"


def test_an_old_load_is_trusted_less() -> None:
    assert placed(a_placement_request(), a_candidate("a", age=5.0), a_candidate("b", chat=1000)).replica == "b"


def test_the_estimate_of_an_interactive_request_is_its_first_token() -> None:
    found = placed(a_placement_request(prompt=2000), a_candidate(chat=1000))
    assert found.expected_seconds == pytest.approx(3.02)
    assert found.feasible


def test_the_estimate_of_a_batch_request_is_its_whole_answer() -> None:
    found = placed(a_placement_request(NIGHT, prompt=2000), a_candidate(chat=1000))
    assert found.expected_seconds == pytest.approx(3.02 + 100 * 0.02)


def test_time_already_spent_counts_against_the_promise() -> None:
    request = a_placement_request(prompt=2000)
    assert placed(request, a_candidate()).feasible
    assert not placed(replace(request, elapsed=4.5), a_candidate()).feasible


def test_a_promise_that_nobody_can_keep_goes_where_it_is_least_late() -> None:
    found = placed(a_placement_request(), a_candidate("a", chat=50_000), a_candidate("b", chat=40_000))
    assert (found.replica, found.feasible) == ("b", False)


@pytest.mark.parametrize("policy", list(PLACEMENTS))
def test_draining_and_excluded_replicas_get_nothing(policy: str) -> None:
    draining = Candidate(replace(a_load("a"), draining=True))
    request = replace(a_placement_request(), excluded=frozenset({"b"}))
    built = build_placement(policy, CLASSES)
    refused = place(request, [draining, a_candidate("b")], policy=built)
    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.NO_REPLICA
    assert rescue(request, [draining, a_candidate("b")], policy=built) is None


def test_without_any_replica_a_request_is_told_to_come_back() -> None:
    refused = place(a_placement_request(), [], policy=build_placement("niyama", CLASSES))
    assert isinstance(refused, Refusal)
    assert refused.retry_after > 0


def test_a_relegated_request_is_rescued_where_it_is_on_time_with_room_to_spare() -> None:
    policy = build_placement("niyama", CLASSES)
    request = a_placement_request(elapsed=1.0)  # 5 s are left, of which 4 s may be used
    assert rescue(request, [a_candidate(chat=2900)], policy=policy) is not None
    assert rescue(request, [a_candidate(chat=3100)], policy=policy) is None


def test_a_request_whose_time_is_over_is_not_rescued() -> None:
    assert rescue(a_placement_request(elapsed=7.0), [a_candidate()], policy=build_placement("niyama", CLASSES)) is None


def test_a_placement_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="niyama, least-loaded, round-robin"):
        build_placement("psychic", CLASSES)


names = st.sampled_from([f"r{index}" for index in range(6)])
class_loads = st.builds(ClassLoad, st.integers(0, 10**5), st.integers(0, 50), st.integers(0, 200))
loads = st.builds(
    ReplicaLoad,
    replica=names,
    address=st.just("a:1"),
    classes=st.dictionaries(st.sampled_from(["chat", "fast", "night", "gone"]), class_loads, max_size=4),
    prefill_tokens_per_second=st.floats(0, 1e5),
    iteration_seconds=st.floats(0, 1),
    draining=st.booleans(),
)
candidate_lists = st.lists(
    st.builds(Candidate, loads, st.floats(0, 100), st.integers(0, 10**5), st.integers(0, 50)),
    max_size=6,
    unique_by=lambda candidate: candidate.load.replica,
)
promises = st.sampled_from([c.promise() for c in CLASSES]).flatmap(
    lambda promise: st.sampled_from([replace(promise, on_overload=each) for each in OnOverload])
)
requests = st.builds(
    PlacementRequest, promises, st.integers(1, 20_000), st.integers(1, 4000), st.floats(0, 100), st.frozensets(names)
)


def able(request: PlacementRequest, candidates: list[Candidate]) -> set[str]:
    return {c.load.replica for c in candidates if not c.load.draining} - request.excluded


@given(requests, candidate_lists, st.sampled_from(sorted(PLACEMENTS)))
def test_a_request_goes_only_where_it_may_and_somewhere_whenever_it_may(
    request: PlacementRequest, candidates: list[Candidate], policy: str
) -> None:
    result = place(request, candidates, policy=build_placement(policy, CLASSES))
    match result:
        case Placed(replica, seconds, _):
            assert replica in able(request, candidates)
            assert seconds >= 0
        case Refusal(reason, retry_after):
            assert reason is RefusalReason.NO_REPLICA
            assert not able(request, candidates)
            assert retry_after > 0


@given(requests, candidate_lists)
def test_a_promise_is_called_infeasible_only_when_no_replica_could_keep_it(
    request: PlacementRequest, candidates: list[Candidate]
) -> None:
    request = replace(request, promise=replace(request.promise, on_overload=OnOverload.RELEGATE))
    policy = build_placement("niyama", CLASSES)
    together = place(request, candidates, policy=policy)
    alone = [place(request, [candidate], policy=policy) for candidate in candidates]
    if isinstance(together, Placed):
        assert together.feasible == any(isinstance(each, Placed) and each.feasible for each in alone)


@given(requests, candidate_lists)
def test_a_rescue_is_never_to_where_it_would_be_late(request: PlacementRequest, candidates: list[Candidate]) -> None:
    found = rescue(request, candidates, policy=build_placement("niyama", CLASSES))
    if found is not None:
        assert found.feasible
        assert found.replica in able(request, candidates)


@given(requests, loads, st.integers(1, 10**5))
def test_more_work_ahead_never_makes_a_request_sooner(request: PlacementRequest, load: ReplicaLoad, more: int) -> None:
    request = replace(request, excluded=frozenset(), promise=Promise("chat", CHAT.slo))
    load = replace(load, draining=False)
    policy = build_placement("niyama", CLASSES)
    before = place(request, [Candidate(load)], policy=policy)
    after = place(request, [Candidate(load, pending_prefill_tokens=more)], policy=policy)
    assert isinstance(before, Placed)
    assert isinstance(after, Placed)
    assert after.expected_seconds >= before.expected_seconds
