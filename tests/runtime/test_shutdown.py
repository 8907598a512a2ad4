"""Signals end a process in good order once, and at once when they come again."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from niyama_runtime.shutdown import shutdown_event

_STUBBORN = """
import asyncio
from niyama_runtime.shutdown import shutdown_event

async def main():
    with shutdown_event() as stop:
        print("ready", flush=True)
        await stop.wait()
        print("draining", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_sets_the_event(number: signal.Signals) -> None:
    former = signal.getsignal(number)
    with shutdown_event() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 5)
    assert signal.getsignal(number) is former


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_the_process_at_once(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", _STUBBORN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "draining\n"
        process.send_signal(number)
        assert process.wait(timeout=10) == -number
