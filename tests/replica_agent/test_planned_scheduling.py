"""The planner inside a scheduler that is not ours: the plans come out, and what goes otherwise is known."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from niyama_agent.engine import EngineLoad
from niyama_agent.planned_queue import PlannedQueue
from niyama_agent.scheduler_reports import BeginAnew, HandBack, RelegatedName, Reschedule
from niyama_agent.scheduler_setup import SchedulerSetup, read_setup, setup_document
from niyama_core.journal import IterationRecord
from niyama_core.latency import LatencyModel
from niyama_core.policies import POLICIES, SchedulerSettings
from niyama_core.profiles import PROFILES
from niyama_core.replay import replay
from niyama_core.request import Request
from niyama_sim.replica import build_planner

from tests.builders import A100, SteadyLaw
from tests.replica_agent.small_scheduler import Machine, Status
from tests.simulator.clusters import CHAT, HURRIED, JOB, NIGHTLY
from tests.simulator.event_list import Abort, Admit, Body, Event, through_simulator

# Instants and times are binary fractions, so that differences of instants are exact and plans equal to the last bit.
LAW = SteadyLaw(1 / 64, 1 / 4096)
PREDICTOR = SteadyLaw(1 / 64, 1 / 2048)
EVERY_POLICY = pytest.mark.parametrize("policy", POLICIES)


def settings(policy: str = "niyama", **others: int) -> SchedulerSettings:
    return SchedulerSettings(policy, max_token_budget=2048, calibrated=False, **others)


def a_machine(
    scheduler: SchedulerSettings | None = None, *, kv_tokens: int = 100_000, law: LatencyModel = LAW, depth: int = 1
) -> Machine:
    return Machine(SchedulerSetup(scheduler or settings(), PREDICTOR), law, kv_tokens=kv_tokens, depth=depth)


def run(machine: Machine, events: Sequence[Event]) -> list[IterationRecord]:
    """Let everything happen, and the machine run on until it is idle; return its iterations."""
    for event in [*events, Abort(math.inf, "nobody")]:
        while machine.ends is not None and machine.ends < event.at:
            ends = machine.ends
            machine.end()
            machine.begin(ends)
        machine.clock.instant = max(machine.clock.instant, min(event.at, 1e9))
        match event:
            case Admit(request=request, num_output_tokens=num_output_tokens):
                machine.admit(request, num_output_tokens)
            case Abort(request_id=request_id):
                machine.abort(request_id)
        if len(machine.under_way) < machine.depth and event.at < math.inf:
            machine.begin(event.at)
    return [report for report in machine.heard.reports if isinstance(report, IterationRecord)]


def mixed(number: int, *, every: float) -> list[Event]:
    """Return requests of all classes, some of which are given up."""
    promises = (CHAT, JOB, HURRIED, NIGHTLY)
    events: list[Event] = []
    for index in range(number):
        at = round(index * every * 256) / 256 + 1
        request = Request(f"r{index}", promises[index % 4], at, 40 + 97 * (index % 7), 300)
        events.append(Admit(at, request, 3 + 11 * (index % 5)))
        if index % 6 == 5:
            events.append(Abort(at + 0.5, f"r{index}"))
    return sorted(events, key=lambda event: event.at)


@EVERY_POLICY
def test_plans_are_those_of_the_simulator(policy: str) -> None:
    events = mixed(60, every=0.05)
    records = run(a_machine(settings(policy)), events)
    profile = replace(A100, law=LAW, predictor=PREDICTOR, kv_capacity_tokens=100_000)
    simulated = through_simulator(Body(scheduler=settings(policy), profile=profile), events)
    planned = [(record.now, record.kv_free_tokens, record.plan) for record in records]
    assert planned == [(ran.now, ran.kv_free_tokens, ran.plan) for ran in simulated]
    assert all(record.deviation is None for record in records)
    assert any(len(record.plan.chunks) > 1 for record in records)


@EVERY_POLICY
@pytest.mark.parametrize("kv_tokens", [1500, 100_000])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("calibrated", [False, True])
def test_a_log_is_planned_again_alike_and_everybody_ends(
    policy: str, kv_tokens: int, depth: int, calibrated: bool
) -> None:
    scheduler = replace(settings(policy, max_num_seqs=12), calibrated=calibrated)
    machine = a_machine(scheduler, kv_tokens=kv_tokens, depth=depth)
    records = run(machine, mixed(60, every=0.05))
    planner = build_planner(scheduler, replace(A100, predictor=PREDICTOR), speed=1.0)
    assert not list(replay(records, planner))
    assert [record.index for record in records] == [*range(len(records))]
    assert all(record.seconds > 0 for record in records)
    assert not machine.scheduler.requests
    assert machine.scheduler.kv_used_tokens() == 0


def test_a_step_is_planned_behind_the_one_that_is_under_way() -> None:
    machine = a_machine(depth=2)
    machine.admit(Request("one", CHAT, 0.0, 100, 300), 4)
    machine.begin(0.0)
    first, second = (step.num_scheduled_tokens for _, step in machine.under_way)
    assert (first, second) == ({"one": 100}, {"one": 1})
    machine.end()
    machine.begin(machine.clock.instant)
    machine.end()
    assert machine.scheduler.requests["one"].num_output_tokens == 2
    records = [report for report in machine.heard.reports if isinstance(report, IterationRecord)]
    assert records[0].seconds == LAW.iteration_time(records[0].plan.shape)


def test_what_the_engine_takes_beyond_the_plan_is_known_to_the_planner() -> None:
    machine = a_machine(kv_tokens=2000)
    machine.admit(Request("long", JOB, 0.0, 600, 300), 50)
    machine.admit(Request("short", CHAT, 0.0, 30, 300), 50)
    machine.begin(0.0)
    machine.end()
    machine.scheduler._preempt_request(
        machine.scheduler.running.pop(machine.scheduler.running.index(machine.scheduler.requests["long"])), 0.0
    )
    records = run(machine, [Admit(1.0, Request("later", CHAT, 1.0, 30, 300), 2)])
    chunks = [chunk for record in records for chunk in record.executed.chunks if chunk.request_id == "long"]
    assert sum(chunk.num_tokens for chunk in chunks) > 1200 - 600
    assert not machine.scheduler.requests


def chunks_of(name: str, records: Sequence[IterationRecord]) -> list[int]:
    return [chunk.num_tokens for record in records for chunk in record.executed.chunks if chunk.request_id == name]


def test_tokens_that_the_cache_has_are_neither_planned_nor_computed() -> None:
    machine = a_machine()
    machine.scheduler.cached["asked"] = 64
    records = run(machine, [Admit(1.0, Request("asked", CHAT, 1.0, 100, 300), 3)])
    assert records[0].plan.shape.prefill_context_tokens == 64
    assert chunks_of("asked", records) == [36]
    assert not list(replay(records, build_planner(settings(), replace(A100, predictor=PREDICTOR), speed=1.0)))


@pytest.mark.parametrize(("known", "found"), [(0, 64), (64, 0), (64, 96)])
def test_what_the_cache_has_when_a_prefill_begins_counts(known: int, found: int) -> None:
    machine = a_machine(settings("sarathi-fcfs", token_budget=30))
    machine.scheduler.cached["asked"] = known
    machine.admit(Request("asked", CHAT, 1.0, 100, 300), 3)
    machine.scheduler.cached["asked"] = found
    records = run(machine, [Admit(1.0, Request("other", CHAT, 1.0, 10, 300), 3)])
    assert sum(chunks_of("asked", records)) == 100 - found
    planner = build_planner(settings("sarathi-fcfs", token_budget=30), replace(A100, predictor=PREDICTOR), speed=1.0)
    assert not list(replay(records, planner))
    assert not machine.scheduler.requests


def test_a_begun_prefill_that_is_not_planned_is_held_and_keeps_its_kv() -> None:
    machine = a_machine(settings("sarathi-edf", token_budget=64))
    machine.admit(Request("job", JOB, 0.0, 200, 10), 2)
    machine.begin(0.0)
    machine.admit(Request("chat", CHAT, 0.0, 64, 10), 2)
    machine.end()
    machine.begin(1.0)
    job = machine.scheduler.requests["job"]
    assert (job.status, job.num_computed_tokens) == (Status.RUNNING, 64)
    assert machine.step.num_scheduled_tokens == {"chat": 64}


def test_what_was_relegated_is_told_by_name() -> None:
    machine = a_machine()
    machine.admit(Request("hopeless", HURRIED, -100.0, 500, 10), 2)
    machine.begin(0.0)
    machine.end()
    assert RelegatedName("hopeless", before_first_token=True) in machine.heard.reports


def test_load_is_told_while_it_works_and_when_it_is_idle() -> None:
    machine = a_machine()
    run(machine, [Admit(1.0, Request("one", CHAT, 1.0, 100, 300), 40)])
    loads = [report for report in machine.heard.reports if isinstance(report, EngineLoad)]
    assert any(load.classes for load in loads)
    assert not loads[-1].classes
    assert loads[-1].kv_used_tokens == 0


def test_an_order_hands_back_what_has_not_begun() -> None:
    machine = a_machine(settings(max_num_seqs=1))
    for name in ("first", "second", "third"):
        machine.admit(Request(name, CHAT, 0.0, 100, 300), 5)
    machine.begin(0.0)
    machine.end()
    machine.heard.laid_in.append(HandBack())
    machine.begin(1.0)
    machine.end()
    assert machine.outputs == {0: ["second", "third"]}
    assert [*machine.scheduler.requests] == ["first"]


def test_another_policy_takes_over_with_the_next_step() -> None:
    machine = a_machine(settings("sarathi-fcfs", token_budget=64))
    machine.admit(Request("one", CHAT, 0.0, 500, 300), 5)
    machine.begin(0.0)
    machine.end()
    machine.heard.laid_in.append(Reschedule(settings("sarathi-fcfs", token_budget=128)))
    machine.begin(1.0)
    assert machine.step.num_scheduled_tokens == {"one": 128}


def test_it_begins_anew_when_nobody_is_live() -> None:
    machine = a_machine()
    machine.admit(Request("one", CHAT, 0.0, 500, 300), 1)
    machine.heard.laid_in.append(BeginAnew(settings(), SteadyLaw(1.0, 0.0)))
    machine.begin(0.0)
    machine.end()
    machine.admit(Request("two", CHAT, 1.0, 500, 300), 1)
    machine.begin(1.0)
    machine.end()
    machine.scheduler.get_grammar_bitmask(None)
    records = [report for report in machine.heard.reports if isinstance(report, IterationRecord)]
    assert [record.index for record in records] == [0, 0]
    assert records[1].plan.predicted_seconds == 1.0


def test_a_request_without_a_promise_is_served_all_the_same() -> None:
    machine = a_machine()
    machine.admit(Request("bare", CHAT, 0.0, 50, 300), 3)
    bare = machine.scheduler.requests["bare"]
    machine.abort("bare")
    bare.sampling_params, bare.status = type(bare.sampling_params)(None), Status.WAITING
    machine.scheduler.add_request(bare)
    records = run(machine, [Admit(1.0, Request("other", CHAT, 1.0, 50, 300), 3)])
    assert any(chunk.request_id == "bare" for record in records for chunk in record.plan.chunks)
    assert not machine.scheduler.requests


def test_what_cannot_be_planned_runs_beside_the_plan() -> None:
    machine = a_machine()
    machine.admit(Request("pooled", CHAT, 0.0, 50, 300), 1)
    pooled = machine.scheduler.requests["pooled"]
    machine.abort("pooled")
    pooled.pooling_params, pooled.status = object(), Status.WAITING
    machine.scheduler.add_request(pooled)
    machine.admit(Request("planned", CHAT, 0.0, 50, 300), 3)
    machine.begin(0.0)
    assert machine.step.num_scheduled_tokens == {"planned": 50, "pooled": 50}
    machine.end()
    assert [*machine.scheduler.requests] == ["planned"]
    run(machine, [Admit(2.0, Request("last", CHAT, 2.0, 50, 300), 1)])
    loads = [report for report in machine.heard.reports if isinstance(report, EngineLoad)]
    assert loads[-1].num_unplanned == 1


def test_settings_travel_as_plain_values() -> None:
    profile = PROFILES["a100-llama3-8b"]
    document = setup_document(settings(), profile, reports="ipc:///r", orders="ipc:///o")
    assert read_setup(document) == SchedulerSetup(settings(), profile.predictor, "ipc:///r", "ipc:///o")
    assert read_setup(None).scheduler == SchedulerSettings()


def test_a_queue_offers_those_of_a_plan_in_its_order() -> None:
    queue = PlannedQueue[str]()
    for name in "abcd":
        queue.add_request(name)
    assert len(queue) == 4
    assert not queue
    queue.offer(["c", "x", "a"])
    queue.remove_requests(["a", "b", "y"])
    assert [queue.peek_request(), queue.pop_request()] == ["c", "c"]
    assert not queue
    assert [*queue] == ["d"]
    queue.prepend_requests(["e"])
    queue.remove_request("d")
    assert [*queue] == ["e"]
