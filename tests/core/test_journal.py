"""The decision log: every plan can be made again from it, and a log that was tampered with is found out."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from niyama_core.journal import Admitted, Finished, IterationRecord, JournalHeader, Planned, Relegated
from niyama_core.journaled_planner import JournaledPlanner
from niyama_core.json_records import JsonRecordError
from niyama_core.plan import Chunk, ExecutedIteration
from niyama_core.policies import POLICIES, SchedulerSettings
from niyama_core.replay import Difference, ReplayError, replay

from tests.builders import a_batch_request, a_planner, a_request
from tests.core.fake_replica import FakeReplica


def a_log(policy: str = "niyama", *, num_requests: int = 12) -> list[IterationRecord]:
    """Return the log of a replica that had interactive and batch requests, more than it could serve in time."""
    records: list[IterationRecord] = []
    replica = FakeReplica(JournaledPlanner(a_planner(policy), records.append), kv_tokens=9000)
    for index in range(num_requests):
        request_id, prompt = f"r{index}", 200 + 170 * index
        build = a_batch_request if index % 3 else a_request
        replica.submit(build(request_id, arrival=replica.now, prompt=prompt, max_output=300), true_output=1 + 7 * index)
        replica.step()
    replica.run_until_idle()
    return records


def through_json(records: list[IterationRecord]) -> Iterator[IterationRecord]:
    return (IterationRecord.from_json_dict(json.loads(json.dumps(record.to_json_dict()))) for record in records)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_log_replays_to_the_same_plans(policy: str) -> None:
    records = a_log(policy)
    assert list(through_json(records)) == records
    assert list(replay(through_json(records), a_planner(policy))) == []


def test_another_policy_decides_otherwise_and_the_first_difference_is_shown() -> None:
    first, *_ = replay(a_log("niyama"), a_planner("sarathi-fcfs"))
    assert first == Difference(0, "token_budget", 8192, 256)
    assert str(first) == "iteration 0: token_budget was 8192, replayed 256"


def test_a_tampered_plan_is_named() -> None:
    records = a_log()
    records[5] = replace(records[5], plan=replace(records[5].plan, slack=0.125))
    (difference,) = replay(records, a_planner())
    assert (difference.index, difference.field, difference.recorded) == (5, "slack", 0.125)


def test_work_that_was_not_done_shows_in_the_next_plan() -> None:
    records = a_log()
    records[3] = replace(records[3], deviation=replace(records[3].executed, chunks=()))
    first, *_ = replay(records, a_planner())
    assert (first.index, first.field) == (4, "decodes")


def test_a_missing_record_is_named() -> None:
    records = a_log()
    with pytest.raises(ReplayError, match="iteration 4 is missing: the next in the log is 5"):
        list(replay([*records[:4], *records[5:]], a_planner()))


def test_a_log_that_does_not_begin_at_the_beginning_is_refused() -> None:
    with pytest.raises(ReplayError, match="iteration 0 is missing"):
        list(replay(a_log()[1:], a_planner()))


def test_an_event_that_cannot_have_been_is_named() -> None:
    records = a_log()
    records[2] = replace(records[2], during=(Finished("nobody"),))
    with pytest.raises(ReplayError, match="iteration 2: Finished\\(request_id='nobody'\\) is impossible here"):
        list(replay(records, a_planner()))


def test_a_record_tells_what_was_told_decided_and_done() -> None:
    records: list[IterationRecord] = []
    planner = JournaledPlanner(a_planner(), records.append)
    early, late = a_request("early", prompt=100), a_request("late", prompt=100)
    planner.admit(early)
    plan = planner.plan(1.0, kv_free_tokens=5000)
    planner.admit(late)
    planner.record(plan.executed(0.25), 1.25)
    (record,) = records
    assert (record.index, record.now, record.kv_free_tokens, record.plan) == (0, 1.0, 5000, plan)
    assert (record.before, record.during) == ((Admitted(early),), (Admitted(late),))
    assert (record.seconds, record.ended, record.deviation) == (0.25, 1.25, None)
    assert record.executed == plan.executed(0.25)


def test_what_was_run_is_kept_where_it_was_not_the_plan_to_the_letter() -> None:
    records: list[IterationRecord] = []
    planner = JournaledPlanner(a_planner(), records.append)
    planner.admit(a_request(prompt=100))
    planner.plan(0.0, kv_free_tokens=5000)
    less = ExecutedIteration((), (Chunk("request", 40),), seconds=0.1, budget_spent=False)
    planner.record(less, 0.1)
    assert records[0].deviation == less
    assert records[0].executed == less


def test_a_plan_that_was_not_run_is_kept_if_it_left_a_mark() -> None:
    records: list[IterationRecord] = []
    planner = JournaledPlanner(a_planner(), records.append)
    hopeless, other = a_request("hopeless", ttft=1.0), a_request("other", ttft=60.0)
    planner.admit(hopeless)
    planner.plan(5.0, kv_free_tokens=5000)
    planner.admit(other)
    planner.plan(5.5, kv_free_tokens=5000)
    plan = planner.plan(6.0, kv_free_tokens=5000)
    planner.relegate("other")
    planner.record(plan.executed(0.1), 6.1)
    assert records[0].before == (Admitted(hopeless), Planned(5.0, 5000), Admitted(other))
    assert records[0].during == (Relegated("other"),)
    assert list(replay(records, a_planner())) == []


def test_an_iteration_that_was_not_planned_cannot_be_recorded() -> None:
    planner = JournaledPlanner(a_planner(), lambda record: None)
    with pytest.raises(ValueError, match="not planned"):
        planner.record(ExecutedIteration((), (), 0.1, budget_spent=False), 0.1)


def test_a_journal_answers_questions_as_the_planner_inside_does() -> None:
    inner = a_planner()
    planner = JournaledPlanner(inner, lambda record: None)
    planner.admit(a_request())
    assert ("request" in planner, len(planner), planner.unstarted()) == (True, 1, ("request",))
    assert planner.is_relegated("request") is False
    assert planner.class_loads() == inner.class_loads()
    assert planner.tightest_slack(0.0) is None
    assert planner.rates is inner.rates
    assert not planner.abort("nobody")


def test_a_header_says_what_the_planner_was_made_of() -> None:
    header = JournalHeader(SchedulerSettings("qoserve", alpha=0.004), profile="a100-llama3-8b", speed=0.5, seed=7)
    assert JournalHeader.from_json_dict(json.loads(json.dumps(header.to_json_dict()))) == header


def test_a_log_of_another_schema_is_refused() -> None:
    header = JournalHeader(SchedulerSettings(), profile="a100-llama3-8b").to_json_dict() | {"schema_version": 99}
    with pytest.raises(JsonRecordError, match="schema_version: must be 1, not 99"):
        JournalHeader.from_json_dict(header)


def test_a_record_with_a_wrong_value_is_named_by_its_key() -> None:
    record = json.loads(json.dumps(a_log()[0].to_json_dict()))
    record["plan"]["shape"]["num_decodes"] = "none"
    with pytest.raises(JsonRecordError, match=r"^plan.shape.num_decodes: must be a whole number"):
        IterationRecord.from_json_dict(record)


def test_the_examples_of_the_documentation_are_a_header_and_a_record() -> None:
    text = (Path(__file__).parents[2] / "docs" / "decision-log.md").read_text()
    header, record = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    assert JournalHeader.from_json_dict(header).to_json_dict() == header
    assert IterationRecord.from_json_dict(record).to_json_dict() == record
