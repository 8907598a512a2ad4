"""Waits for what a cluster brings about in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["eventually"]

T = TypeVar("T")


def eventually(look: Callable[[], T], *, within: float, every: float = 0.2) -> T:
    """Look until there is something true to see, and return it.

    An `AssertionError` out of `look`, a program's failure too, counts as nothing to see;
    the last one is raised when the seconds are over.
    """
    end = time.monotonic() + within
    while True:
        try:
            if seen := look():
                return seen
            complaint = AssertionError(f"not seen within {within:g} s: the last look gave {seen!r}")
        except AssertionError as error:
            complaint = error
        if time.monotonic() > end:
            raise complaint
        time.sleep(every)
