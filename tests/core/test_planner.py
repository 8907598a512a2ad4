"""What an iteration holds, and how requests go through a replica."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.plan import Chunk, ExecutedIteration, IterationPlan
from niyama_core.planner import IterationPlanner
from niyama_core.policies import POLICIES
from niyama_core.request import Request
from niyama_core.slo import Importance

from tests.builders import SteadyLaw, a_batch_request, a_planner, a_request
from tests.core.fake_replica import FakeReplica
from tests.core.workloads import requests

PLENTY = 1_000_000


def run_one(planner: IterationPlanner, now: float, *, seconds: float = 0.1) -> IterationPlan:
    """Plan an iteration at `now` and run it to the letter."""
    plan = planner.plan(now, PLENTY)
    planner.record(plan.executed(seconds), now + seconds)
    return plan


def served(plan: IterationPlan) -> list[str]:
    return [chunk.request_id for chunk in plan.chunks]


def test_an_idle_replica_has_nothing_to_run() -> None:
    plan = a_planner().plan(0.0, PLENTY)
    assert plan.is_empty
    assert (plan.slack, plan.predicted_seconds) == (math.inf, 0.0)


def test_a_finished_prefill_gives_a_token_and_decodes_from_then_on() -> None:
    planner = a_planner()
    planner.admit(a_request(prompt=1000))
    plan = planner.plan(0.0, PLENTY)
    assert plan.chunks == (Chunk("request", 1000),)
    assert planner.record(plan.executed(0.1), 0.1) == ("request",)
    plan = planner.plan(0.1, PLENTY)
    assert (plan.decodes, plan.chunks) == (("request",), ())
    assert planner.record(plan.executed(0.02), 0.12) == ("request",)


def test_a_long_prompt_is_computed_over_several_iterations() -> None:
    planner = a_planner("sarathi-fcfs", token_budget=256)
    planner.admit(a_request(prompt=600))
    assert [run_one(planner, 0.1 * i).chunks[0].num_tokens for i in range(3)] == [256, 256, 88]
    assert planner.plan(1.0, PLENTY).decodes == ("request",)


def test_a_begun_prefill_is_completed_before_an_equal_one_begins() -> None:
    planner = a_planner("sarathi-fcfs", token_budget=256)
    planner.admit(a_request("first", prompt=600))
    planner.admit(a_request("second", prompt=600))
    order = [served(run_one(planner, 0.1 * i)) for i in range(5)]
    assert order == [["first"], ["first"], ["first", "second"], ["second"], ["second"]]


def test_decodes_are_always_in_and_prefill_gets_what_they_leave() -> None:
    planner = a_planner("sarathi-fcfs", token_budget=256)
    for index in range(3):
        planner.admit(a_request(f"r{index}", prompt=50))
    run_one(planner, 0.0)
    planner.admit(a_request("long", prompt=600))
    plan = planner.plan(0.1, PLENTY)
    assert plan.decodes == ("r0", "r1", "r2")
    assert plan.chunks == (Chunk("long", 253),)


def test_slack_is_the_time_until_the_most_urgent_token_is_due() -> None:
    planner = a_planner()
    planner.admit(a_request("patient", ttft=6.0, tbt=0.05))
    planner.admit(a_request("pressed", ttft=1.0, tbt=0.05))
    run_one(planner, 0.0, seconds=0.5)
    assert planner.plan(0.5, PLENTY).slack == pytest.approx(1.05 - 0.5)
    assert planner.tightest_slack(0.5) == pytest.approx(0.55)


def test_an_early_first_token_lets_the_next_iteration_be_large() -> None:
    def budget(ttft: float) -> int:
        planner = a_planner()
        planner.admit(a_request(ttft=ttft))
        run_one(planner, 0.0)
        return planner.plan(0.1, PLENTY).token_budget

    assert budget(ttft=6.0) == 8192
    assert budget(ttft=0.1) < 512


def test_a_batch_decode_asks_for_the_pace_that_its_deadline_needs() -> None:
    planner = a_planner()
    planner.admit(a_batch_request(ttlt=20.0))
    run_one(planner, 0.0)
    assert planner.plan(0.1, PLENTY).slack == pytest.approx((20.0 - 0.1) / 127)


def test_a_batch_decode_that_asks_for_the_impossible_constrains_nobody() -> None:
    planner = a_planner()
    planner.admit(a_batch_request(ttlt=1.5, prompt=10))
    run_one(planner, 0.0)
    assert planner.plan(0.1, PLENTY).slack == math.inf


def test_an_urgent_arrival_goes_before_a_begun_prefill_that_has_time() -> None:
    planner = a_planner()
    planner.admit(a_batch_request("begun", prompt=5000, ttlt=600.0))
    run_one(planner, 0.0)
    planner.admit(a_request("urgent", arrival=0.1, prompt=2600))
    assert served(planner.plan(0.1, PLENTY)) == ["urgent"]


def test_a_begun_prefill_that_would_miss_by_waiting_lets_nobody_pass() -> None:
    planner = a_planner("qoserve", predictor=SteadyLaw())
    planner.admit(a_request("begun", ttft=2.0, prompt=5000))
    run_one(planner, 0.0, seconds=0.26)
    planner.admit(a_request("short", arrival=0.26, ttft=6.0, prompt=1000))
    latest = 2.0 - (5000 - 2552) / planner.rates.prefill_rate
    assert served(planner.plan(latest - 0.5, PLENTY)) == ["short", "begun"]
    assert served(planner.plan(latest - 0.001, PLENTY)) == ["begun", "short"]


def test_a_relegated_prefill_lets_others_pass_however_late_it_gets() -> None:
    planner = a_planner("qoserve", predictor=SteadyLaw())
    planner.admit(a_request("given up", ttft=2.0, prompt=5000, relegated=True))
    run_one(planner, 0.0, seconds=0.26)
    planner.admit(a_request("short", arrival=0.26, prompt=1000))
    latest = 2.0 - (5000 - 2552) / planner.rates.prefill_rate
    assert served(planner.plan(latest - 0.001, PLENTY)) == ["short", "given up"]


def test_a_displaced_prefill_keeps_its_kv() -> None:
    planner = a_planner(max_token_budget=2552)
    planner.admit(a_batch_request("begun", prompt=5000, ttlt=600.0))
    run_one(planner, 0.0)
    planner.admit(a_request("urgent", arrival=0.1, prompt=2552))
    run_one(planner, 0.1)
    plan = planner.plan(0.2, PLENTY)
    assert plan.chunks == (Chunk("begun", 5000 - 2552),)
    assert plan.shape.prefill_context_tokens == 2552


def test_ids_are_unique_among_live_requests() -> None:
    planner = a_planner()
    planner.admit(a_request("same"))
    with pytest.raises(ValueError, match="'same' is live already"):
        planner.admit(a_request("same"))
    planner.abort("same")
    planner.admit(a_request("same"))
    assert "same" in planner


def test_what_was_computed_for_a_request_that_left_is_not_credited_to_its_namesake() -> None:
    planner = a_planner()
    planner.admit(a_request("name", prompt=100))
    plan = planner.plan(0.0, PLENTY)
    planner.abort("name")
    planner.admit(a_request("name", prompt=100))
    assert planner.record(plan.executed(0.1), 0.1) == ()
    assert planner.plan(0.1, PLENTY).chunks == (Chunk("name", 100),)


def test_an_engine_may_do_less_than_was_planned() -> None:
    planner = a_planner()
    planner.admit(a_request("a", prompt=100))
    planner.admit(a_request("b", prompt=100))
    planner.plan(0.0, PLENTY)
    less = ExecutedIteration(decodes=(), chunks=(Chunk("a", 60),), seconds=0.1, budget_spent=False)
    assert planner.record(less, 0.1) == ()
    assert planner.plan(0.1, PLENTY).chunks == (Chunk("a", 40), Chunk("b", 100))


def test_letting_go_of_what_is_not_live_changes_nothing() -> None:
    planner = a_planner()
    assert not planner.abort("nobody")
    with pytest.raises(KeyError):
        planner.finish("nobody")


def test_answers_that_ended_by_themselves_teach_the_length_of_later_ones() -> None:
    replica = FakeReplica(a_planner())
    for index in range(8):
        replica.submit(a_request(f"r{index}", prompt=10, app="lookup"), true_output=3)
    replica.run_until_idle()
    # What a request may need is set aside before it begins: 3 tokens of answer, not the 128 of one without history.
    replica.planner.admit(a_request("first", prompt=10, app="lookup"))
    replica.planner.admit(a_request("second", prompt=10, app="lookup"))
    assert served(replica.planner.plan(replica.now, kv_free_tokens=26)) == ["first", "second"]
    assert served(replica.planner.plan(replica.now, kv_free_tokens=25)) == ["first"]


def test_requests_of_which_nothing_is_computed_can_be_handed_back() -> None:
    planner = a_planner()
    planner.admit(a_request("begun", prompt=5000))
    run_one(planner, 0.0)
    planner.admit(a_request("waits"))
    planner.admit(a_request("relegated", relegated=True))
    assert planner.unstarted() == ("waits", "relegated")


def test_a_request_may_arrive_relegated_and_be_relegated_from_outside() -> None:
    planner = a_planner()
    planner.admit(a_request("given up", relegated=True))
    planner.admit(a_request("waits"))
    planner.relegate("waits")
    planner.admit(a_batch_request("on time"))
    assert planner.is_relegated("given up")
    assert planner.is_relegated("waits")
    assert served(planner.plan(0.0, PLENTY)) == ["on time", "given up", "waits"]


def test_the_load_is_counted_by_class() -> None:
    planner = a_planner()
    planner.admit(a_request("decodes", prompt=100))
    run_one(planner, 0.0)
    planner.admit(a_request("waits", prompt=200))
    planner.admit(a_batch_request("job", prompt=300))
    planner.admit(a_batch_request("given up", prompt=400, relegated=True))
    loads = planner.class_loads()
    chat, summarise = loads["chat"], loads["summarise"]
    assert (chat.num_decoding, chat.num_queued, chat.queued_prefill_tokens) == (1, 1, 200)
    assert (summarise.num_queued, summarise.queued_prefill_tokens) == (1, 300)
    assert (summarise.num_relegated, summarise.relegated_prefill_tokens) == (1, 400)


def test_a_second_plan_takes_the_same_budget_though_the_first_relegated_the_head() -> None:
    # The budget depends on the context of the next to prefill: 16,000 tokens of it cost more than none.
    planner = a_planner("qoserve", alpha=0.0)
    planner.admit(a_request("begun", ttft=60.0, prompt=18_000))
    for index in range(6):
        run_one(planner, 0.1 * index)
    planner.admit(a_request("decodes", ttft=1.0, tbt=0.3, prompt=10))
    run_one(planner, 0.7)
    planner.admit(a_request("hopeless", ttft=0.1, prompt=9000))
    first, second = planner.plan(0.9, PLENTY), planner.plan(0.9, PLENTY)
    assert first.relegated == ("hopeless",)
    assert replace(first, relegated=()) == second


@given(
    workload=st.lists(requests(), min_size=1, max_size=8),
    policy=st.sampled_from(sorted(POLICIES)),
    steps=st.integers(0, 3),
)
def test_the_budget_is_spent_while_there_is_work(workload: list[Request], policy: str, steps: int) -> None:
    planner = a_planner(policy)
    for index, request in enumerate(workload):
        planner.admit(replace(request, request_id=f"r{index}"))
    for step in range(steps):
        run_one(planner, 0.1 * step)
    plan = planner.plan(0.1 * steps, PLENTY)
    work = sum(load.queued_prefill_tokens + load.relegated_prefill_tokens for load in planner.class_loads().values())
    assert plan.shape.prefill_tokens == min(work, max(0, plan.token_budget - len(plan.decodes)))


@given(
    workload=st.lists(requests(), min_size=1, max_size=12),
    policy=st.sampled_from(sorted(POLICIES)),
    kv_free_tokens=st.integers(0, 3000),
    now=st.floats(0, 10),
)
def test_a_relegated_request_never_precedes_one_that_is_not(
    workload: list[Request], policy: str, kv_free_tokens: int, now: float
) -> None:
    planner = a_planner(policy)
    for index, request in enumerate(workload):
        planner.admit(replace(request, request_id=f"r{index}"))
    relegated = [planner.is_relegated(request_id) for request_id in served(planner.plan(now, kv_free_tokens))]
    assert relegated == sorted(relegated)


@given(
    requests=st.lists(requests(), min_size=1, max_size=8),
    steps=st.integers(0, 4),
    left=st.sets(st.integers(0, 7)),
)
def test_a_request_that_leaves_at_any_time_leaves_no_trace(requests: list[Request], steps: int, left: set[int]) -> None:
    """A replica that some have left plans as one that they never came to, but for the history of speed."""
    planner = a_planner("sarathi-fcfs", max_num_seqs=4)
    for index, request in enumerate(requests):
        planner.admit(replace(request, request_id=f"r{index}"))
    for step in range(steps):
        run_one(planner, 0.1 * step)
    stayed = [index for index in range(len(requests)) if index not in left]
    for index in left:
        planner.abort(f"r{index}")
    assert len(planner) == len(stayed)
    plan = planner.plan(1.0, PLENTY)
    assert {*plan.decodes, *served(plan)} <= {f"r{index}" for index in stayed}
    assert plan.is_empty == (not stayed)


def test_important_work_that_left_relegates_nobody() -> None:
    planner = a_planner("niyama")
    planner.admit(a_request("left", prompt=40_000))
    planner.abort("left")
    planner.admit(a_request("low", prompt=5000, importance=Importance.LOW))
    assert planner.plan(0.0, PLENTY).relegated == ()
