"""An agent that is told to stop ends at once when nothing runs, whatever it was doing."""

import asyncio

from niyama_agent.agent import Agent
from niyama_agent.settings import parse_settings
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
