"""The grid of iterations that an engine is driven through, on an engine without a model."""

from dataclasses import replace
from pathlib import Path

import pytest
from niyama_agent.engine_sweep import QUICK_SWEEP, Sweep, SweepRun, sweep_points
from niyama_agent.profile_store import ProfileKey, profiles_folder, store_profile, stored_profile
from niyama_agent.quick_profile import quick_profile, rows_of
from niyama_core.journal import IterationRecord
from niyama_core.latency import IterationShape
from niyama_core.plan import ExecutedIteration
from niyama_runtime.clock import VirtualClock

from tests.builders import A100, SteadyLaw
from tests.replica_agent.engine_room import EngineRoom, in_virtual_time, running_engine

LAW = SteadyLaw(0.01, 0.0002)


def swept(sweep: Sweep) -> tuple[list[IterationRecord], EngineRoom]:
    async def story(clock: VirtualClock) -> tuple[list[IterationRecord], EngineRoom]:
        async with running_engine(clock, law=LAW) as room:
            run = SweepRun(room.engine)
            for point in sweep_points(sweep, most_tokens=1024, most_sequences=16):
                await run.run_point(point)
            assert room.engine.load(clock.now()).kv_used_tokens == 0
            return room.records, room

    return in_virtual_time(story)


def test_every_point_that_the_engine_can_run_is_run_full() -> None:
    records, _ = swept(Sweep((32, 256, 4096), (0, 8, 32), (64,), 3))
    full = {(record.plan.token_budget, record.plan.shape.num_decodes) for record in records if record.plan.chunks}
    assert {(32, 0), (256, 0), (32, 8), (256, 8)} <= full
    assert not any(budget > 1024 or decodes > 16 for budget, decodes in full)
    filled = [record for record in records if record.plan.shape.num_tokens == 256]
    assert len(filled) >= 6


def test_a_quick_sweep_is_enough_to_know_a_law() -> None:
    records, room = swept(QUICK_SWEEP)
    key = ProfileKey("/models/Llama 3", "NVIDIA A100-SXM4-80GB", 2, "bfloat16")
    profile = quick_profile(records, key, facts=room.engine.facts)
    assert profile.name == "llama-3-2xnvidia-a100-sxm4-80gb-bfloat16"
    for shape in (IterationShape(0, 8, 800), IterationShape(300, 4, 400, 0, 45_000.0), IterationShape(64, 0, 0)):
        assert profile.predictor.iteration_time(shape) == pytest.approx(LAW.iteration_time(shape), rel=0.05)


def test_a_stored_profile_is_found_again_and_a_broken_one_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIYAMA_PROFILES", str(tmp_path))
    key = ProfileKey("llama", "cpu", 1, "float32")
    assert stored_profile(key) is None
    path = profiles_folder() / f"{key.name}.json"
    store_profile(A100, path)
    assert stored_profile(key) == path
    path.write_text("{")
    assert stored_profile(key) is None


def test_rows_leave_out_what_did_not_run_as_planned() -> None:
    records, _ = swept(Sweep((32,), (0,), (64,), 2))
    otherwise = replace(records[0], deviation=ExecutedIteration((), (), records[0].seconds, budget_spent=False))
    assert len(rows_of([otherwise, *records[1:]])) == len(records) - 1 > 0
