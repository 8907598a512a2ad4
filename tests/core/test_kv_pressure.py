"""When the KV cache is short: who may begin, who gives way, and that nothing is lost by it."""

import math

import pytest
from niyama_core.plan import Chunk
from niyama_core.slo import Importance

from tests.builders import SteadyLaw, a_batch_request, a_live_request, a_planner, a_request
from tests.core.fake_replica import FakeReplica

# An answer is expected to have 128 tokens as long as none has ended.


def test_a_request_begins_only_when_what_it_will_need_fits() -> None:
    planner = a_planner()
    planner.admit(a_request("first", prompt=500))
    planner.admit(a_request("second", prompt=500))
    assert planner.plan(0.0, kv_free_tokens=1000).chunks == (Chunk("first", 500),)
    assert planner.plan(0.0, kv_free_tokens=2000).chunks == (Chunk("first", 500), Chunk("second", 500))


def test_a_request_alone_begins_even_if_it_may_not_fit_to_its_end() -> None:
    planner = a_planner()
    planner.admit(a_request(prompt=900))
    assert planner.plan(0.0, kv_free_tokens=1000).chunks == (Chunk("request", 900),)


def test_no_more_is_computed_than_the_cache_can_hold() -> None:
    planner = a_planner()
    planner.admit(a_request(prompt=1500))
    assert planner.plan(0.0, kv_free_tokens=1000).chunks == (Chunk("request", 1000),)


def test_begun_prefills_go_on_behind_one_that_cannot_begin() -> None:
    planner = a_planner("sarathi-edf", token_budget=256)
    planner.admit(a_batch_request("begun", prompt=600))
    planner.record(planner.plan(0.0, kv_free_tokens=800).executed(0.1), 0.1)
    planner.admit(a_request("urgent", prompt=600))
    assert planner.plan(0.1, kv_free_tokens=800 - 256).chunks == (Chunk("begun", 256),)


def test_begun_relegated_prefills_go_on_behind_one_that_cannot_begin() -> None:
    planner = a_planner(max_token_budget=2552)
    planner.admit(a_request("given up", prompt=5000, relegated=True))
    planner.record(planner.plan(0.0, kv_free_tokens=6000).executed(0.1), 0.1)
    planner.admit(a_request("urgent", prompt=900))
    assert [chunk.request_id for chunk in planner.plan(0.1, kv_free_tokens=6000 - 2552).chunks] == ["given up"]


def test_no_relegated_request_begins_while_one_on_time_waits_for_room() -> None:
    planner = a_planner(max_token_budget=2552)
    planner.admit(a_request("begun", prompt=5000))
    planner.record(planner.plan(0.0, kv_free_tokens=6000).executed(0.1), 0.1)
    planner.admit(a_request("small", prompt=10, relegated=True))
    planner.admit(a_request("large", prompt=2000, ttft=60))
    chunks = planner.plan(0.1, kv_free_tokens=6000 - 2552).chunks
    assert [chunk.request_id for chunk in chunks] == ["begun"]


def test_the_least_urgent_gives_up_its_kv_when_the_next_tokens_do_not_fit() -> None:
    planner = a_planner()
    for name, importance in (("free", Importance.LOW), ("paid", Importance.HIGH)):
        planner.admit(a_request(name, prompt=100, importance=importance))
    planner.record(planner.plan(0.0, kv_free_tokens=1000).executed(0.1), 0.1)
    plan = planner.plan(0.1, kv_free_tokens=1)
    assert plan.preempted == ("free",)
    assert plan.decodes == ("paid",)


def test_a_begun_prefill_that_gives_up_its_kv_waits_as_if_it_had_not_begun() -> None:
    planner = a_planner("niyama")
    planner.admit(a_request("begun", prompt=5000))
    planner.record(planner.plan(0.0, kv_free_tokens=2552).executed(0.1), 0.1)
    assert planner.plan(0.1, kv_free_tokens=0).preempted == ("begun",)
    assert planner.unstarted() == ("begun",)
    assert planner.class_loads()["chat"].queued_prefill_tokens == 5000
    planner.abort("begun")
    # Demand that was counted twice would look like important work in danger.
    planner.admit(a_request("low", prompt=5000, importance=Importance.LOW))
    assert planner.plan(0.1, kv_free_tokens=10_000).relegated == ()
    assert planner._backlog.important_demand.margin(-1e9, tokens_per_second=1.0) == math.inf


def test_a_request_without_its_kv_computes_prompt_and_answer_again() -> None:
    live = a_live_request(a_request(prompt=100))
    live.advance_prefill(100, now=1.0)
    live.advance_decode()
    live.lose_kv()
    assert (live.context_tokens, live.prefill_remaining, live.emitted) == (0, 102, 2)
    assert live.advance_prefill(102, now=2.0)
    assert (live.context_tokens, live.emitted) == (102, 3)


def test_a_request_without_its_kv_is_due_when_its_next_token_is() -> None:
    live = a_live_request(a_request(ttft=6.0, tbt=0.05))
    live.advance_prefill(1000, now=1.0)
    live.advance_decode()
    live.lose_kv()
    assert live.prefill_due == pytest.approx(6.1)


def test_an_answer_that_has_begun_is_not_relegated_for_losing_its_kv() -> None:
    planner = a_planner()
    planner.admit(a_request("answering", prompt=1000, ttft=1.0, importance=Importance.LOW))
    planner.admit(a_request("other", prompt=1000, ttft=1.0))
    planner.record(planner.plan(0.0, kv_free_tokens=2256).executed(0.1), 0.1)
    plan = planner.plan(1.5, kv_free_tokens=1)
    assert (plan.preempted, plan.relegated) == (("answering",), ())


@pytest.mark.parametrize("policy", ["niyama", "qoserve", "sarathi-fcfs"])
def test_tight_memory_costs_time_and_no_token(policy: str) -> None:
    planner = a_planner(policy)
    replica = FakeReplica(planner, kv_tokens=700, law=SteadyLaw())
    for index in range(6):
        replica.submit(a_request(f"r{index}", prompt=100, max_output=600), true_output=500)
    replica.run_until_idle()
    assert replica.num_preemptions > 0
    assert [replica.done[f"r{index}"].emitted for index in range(6)] == [500] * 6


def test_no_more_requests_hold_kv_than_the_engine_has_seats() -> None:
    replica = FakeReplica(a_planner(max_num_seqs=2))
    for index in range(5):
        replica.submit(a_request(f"r{index}", prompt=2000), true_output=20)
    most = 0
    while replica.live:
        replica.step()
        most = max(most, sum(account.computed > 0 for account in replica.live.values()))
    assert most == 2
