"""The beginning and the end of an agent: what it is told while it loads, and that it ends at once when idle."""

import asyncio
from typing import Any

import pytest
from niyama_agent import engine_choice
from niyama_agent.agent import Agent
from niyama_agent.paced_engine import PacedEngine
from niyama_agent.settings import parse_settings
from niyama_core.policies import SchedulerSettings
from niyama_runtime.clock import MonotonicClock
from niyama_runtime.embedded_redis import EmbeddedRedis


async def test_an_idle_agent_with_a_load_board_ends_without_waiting_for_its_grace() -> None:
    async with EmbeddedRedis() as redis:
        agent = Agent(
            parse_settings(
                {
                    "cluster": "default/llama",
                    "replica": "replica-0",
                    "listen": "127.0.0.1:0",
                    "model": "llama",
                    "redis": {"url": redis.url},
                    "drainGrace": "60s",
                }
            ),
            MonotonicClock(),
        )
        stop, ready = asyncio.Event(), asyncio.Event()
        served = asyncio.create_task(agent.serve(stop, lambda endpoints: ready.set()))
        await ready.wait()
        stop.set()
        async with asyncio.timeout(5):
            await served


class LoadingEngine(PacedEngine):
    """Is ready when it is let, and like one that loads a model takes no other policy before."""

    def __init__(self, *parts: Any, **more: Any) -> None:  # noqa: ANN401, as its parent
        super().__init__(*parts, **more)
        self.loaded = asyncio.Event()

    async def start(self) -> None:
        await self.loaded.wait()

    def reschedule(self, scheduler: SchedulerSettings) -> None:
        assert self.loaded.is_set(), "nothing can be scheduled yet"
        super().reschedule(scheduler)


async def test_a_policy_that_changes_while_a_model_loads_is_taken_when_it_is_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engines: list[LoadingEngine] = []

    def build(*parts: Any, **more: Any) -> LoadingEngine:  # noqa: ANN401, as its parent
        monkeypatch.setattr(engine_choice, "PacedEngine", LoadingEngine)
        engine = engine_choice.build_engine(*parts, **more)
        assert isinstance(engine, LoadingEngine)
        engines.append(engine)
        return engine

    monkeypatch.setattr("niyama_agent.agent.build_engine", build)
    document = {"cluster": "default/llama", "replica": "replica-0", "model": "llama"}
    agent = Agent(parse_settings(document), MonotonicClock())
    stop, ready = asyncio.Event(), asyncio.Event()
    served = asyncio.create_task(agent.serve(stop, lambda endpoints: ready.set()))
    await asyncio.sleep(0)
    agent.apply(parse_settings({**document, "scheduler": {"policy": "qoserve"}}))
    engines[0].loaded.set()
    await ready.wait()
    assert engines[0].facts.scheduler.policy == "qoserve"
    stop.set()
    await served
