"""What a request may ask of an engine whose KV cache is smaller than its context."""

from dataclasses import replace
from typing import Any

import pytest
from niyama_agent.engine import EngineRequest
from niyama_agent.intake import Intake, InvalidRequestError
from niyama_agent.lease_gate import LeaseGate
from niyama_agent.paced_engine import PacedEngine, PacedSettings
from niyama_agent.settings import Limits
from niyama_runtime.clock import VirtualClock
from niyama_runtime.leases import Leases

from tests.builders import A100
from tests.replica_agent.agents import a_message, seconds


def intake() -> Intake:
    clock = VirtualClock(start=500.0)
    profile = replace(A100, kv_capacity_tokens=1000, context_tokens=16_384)
    engine = PacedEngine(PacedSettings(profile=profile, replay=True), clock, on_iteration=lambda record: None)
    limits = Limits(context_tokens=None, max_output_tokens=4096)
    gate = LeaseGate(Leases(None, unix_now=clock.now), replica="llama-0")
    return Intake(engine, model="llama", limits=limits, clock=clock, gate=gate)


async def read(prompt_tokens: int, max_tokens: int | None = None, **fields: Any) -> EngineRequest:  # noqa: ANN401
    return await intake().read(a_message(prompt="x" * 4 * prompt_tokens, request={"max_tokens": max_tokens}, **fields))


async def refused(prompt_tokens: int, max_tokens: int | None = None) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequestError) as raised:
        await read(prompt_tokens, max_tokens)
    return [(violation.field, violation.description) for violation in raised.value.violations]


async def test_prompt_and_answer_must_fit_into_the_kv_cache_together() -> None:
    assert (await read(900, 100)).request.max_output_tokens == 100
    ((field, problem),) = await refused(900, 101)
    assert field == "request.max_tokens"
    assert "at most 100" in problem


async def test_a_prompt_must_leave_room_for_a_token() -> None:
    assert (await read(999)).request.max_output_tokens == 1
    ((field, problem),) = await refused(1000)
    assert field == "request.prompt"
    assert "at most 999" in problem


async def test_who_names_no_cap_gets_what_there_is_room_for() -> None:
    assert (await read(400)).request.max_output_tokens == 600


async def test_arrival_lies_back_by_the_time_already_spent() -> None:
    assert (await read(10, elapsed=seconds(2.5))).request.arrival == 497.5


async def test_the_planner_hears_of_a_resumed_answer_as_prompt_and_of_what_is_left_as_cap() -> None:
    resumed = await read(400, 100, emitted_token_ids=[1, 2, 3])
    assert resumed.request.num_prompt_tokens == 403
    assert resumed.request.max_output_tokens == 97
    assert len(resumed.prompt_token_ids) == 400


async def test_the_planner_does_not_hear_how_long_the_answer_will_be() -> None:
    told = (await intake().read(a_message(output=7))).request
    other = (await intake().read(a_message(output=70))).request
    assert told == other
