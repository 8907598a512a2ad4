"""From a signal to an orderly end.

The first SIGTERM or SIGINT sets an event, on which the process drains. A second one ends it at once: who presses
Ctrl-C twice does not want to wait.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["shutdown_event"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def shutdown_event() -> Iterator[asyncio.Event]:
    """Yield an event that the first SIGTERM or SIGINT sets; the second signal kills the process as if unhandled.

    Enter it in the main thread, with the event loop running. The handlers that were there come back on leaving.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    former = {number: signal.getsignal(number) for number in _SIGNALS}

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stop
    finally:
        for number, handler in former.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
