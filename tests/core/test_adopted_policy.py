"""A planner that changes its policy while requests are live."""

from niyama_core.planner import IterationPlanner
from niyama_core.policies import SchedulerSettings, build_policy

from tests.builders import A100, a_batch_request, a_planner, a_request

KV = 100_000


def adopt(planner: IterationPlanner, policy: str) -> None:
    planner.adopt(build_policy(SchedulerSettings(policy=policy), A100.predictor), max_num_seqs=100)


def test_waiting_requests_are_served_in_the_order_of_the_adopted_policy() -> None:
    planner = a_planner("sarathi-fcfs")
    planner.admit(a_batch_request("early job", arrival=0.0, prompt=5000))
    planner.admit(a_request("late chat", arrival=1.0, prompt=5000))
    assert planner.plan(1.0, KV).chunks[0].request_id == "early job"
    adopt(planner, "sarathi-edf")
    assert planner.plan(1.0, KV).chunks[0].request_id == "late chat"


def test_a_request_that_has_begun_keeps_what_was_computed() -> None:
    planner = a_planner("sarathi-fcfs")
    planner.admit(a_request("begun", prompt=300))
    plan = planner.plan(0.0, KV)
    planner.record(plan.executed(0.02), 0.02)
    adopt(planner, "niyama")
    assert planner.plan(0.02, KV).shape.prefill_tokens == 300 - plan.shape.prefill_tokens


def test_no_more_requests_begin_than_the_adopted_settings_allow() -> None:
    planner = a_planner("niyama")
    planner.adopt(build_policy(SchedulerSettings(), A100.predictor), max_num_seqs=1)
    for name in ("first", "second"):
        planner.admit(a_request(name, prompt=100))
    assert len(planner.plan(0.0, KV).chunks) == 1
