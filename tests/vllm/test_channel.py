"""The way between the scheduler's process and the agent: neither waits for the other, and either may come back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from niyama_agent.scheduler_reports import HandBack, RelegatedName, Report, Unheard
from niyama_agent.scheduler_setup import read_setup

scheduler_channel = pytest.importorskip("niyama_agent.scheduler_channel", reason="runs where ZeroMQ is installed")

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


@pytest.fixture
async def heard(tmp_path: Path) -> AsyncIterator[list[Report]]:
    """Return what an agent in the folder hears."""
    channel = scheduler_channel.AgentChannel(tmp_path)
    reports: list[Report] = []
    following = asyncio.create_task(channel.follow(reports.append))
    yield reports
    following.cancel()
    channel.close()


def end_in(folder: Path) -> Any:  # noqa: ANN401, its module may not be there
    return scheduler_channel.ZmqChannel(f"ipc://{folder}/reports", f"ipc://{folder}/orders")


async def test_a_scheduler_that_comes_back_is_heard_again(tmp_path: Path, heard: list[Report]) -> None:
    for name in ("first", "second"):
        end = end_in(tmp_path)
        end.send([RelegatedName(name, before_first_token=True)])
        async with asyncio.timeout(10):
            while RelegatedName(name, before_first_token=True) not in heard:
                end.send([])
                await asyncio.sleep(0.01)
        end.close()


async def test_an_agent_that_comes_back_hears_what_was_kept_for_it(tmp_path: Path) -> None:
    end = end_in(tmp_path)
    end.send([RelegatedName("kept", before_first_token=True)])
    channel = scheduler_channel.AgentChannel(tmp_path)
    reports: list[Report] = []
    following = asyncio.create_task(channel.follow(reports.append))
    async with asyncio.timeout(10):
        while not reports:
            end.send([])
            await asyncio.sleep(0.01)
    assert reports == [RelegatedName("kept", before_first_token=True)]
    channel.order(HandBack())
    async with asyncio.timeout(10):
        while not (orders := list(end.orders())):  # noqa: ASYNC110, another socket's state
            await asyncio.sleep(0.01)
    assert orders == [HandBack()]
    following.cancel()
    channel.close()
    end.close()


def test_nobody_waits_for_an_agent_that_is_not_there(tmp_path: Path) -> None:
    end = end_in(tmp_path)
    for index in range(20_000):
        end.send([RelegatedName(str(index), before_first_token=True)])
    assert len(end._kept) <= scheduler_channel._MAX_KEPT
    assert not list(end.orders())
    end.close()


def test_a_setup_without_addresses_has_nobody_to_tell() -> None:
    assert isinstance(scheduler_channel.open_channel(read_setup({})), Unheard)
