"""Runs simulations side by side, each in a process of its own if several may run at a time.

How many run at a time decides how long it takes, and nothing else.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Protocol, TypeVar

__all__ = ["Submit", "side_by_side"]

R = TypeVar("R")


class Submit(Protocol):
    """Begins a piece of work."""

    def __call__(self, work: Callable[..., R], /, *arguments: object) -> "Future[R]":
        """Return what will hold its result; work and arguments must be picklable."""
        ...


@contextmanager
def side_by_side(jobs: int) -> Iterator[Submit]:
    """Yield what runs work, `jobs` pieces at a time; when it is left by an error, what has not begun is not begun."""
    if jobs == 1:
        yield _at_once
        return
    # Processes that are forked while a progress bar's thread runs may hang.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        yield pool.submit
    finally:
        pool.shutdown(cancel_futures=True)


def _at_once(work: Callable[..., R], /, *arguments: object) -> "Future[R]":
    """Do the work in this process before returning."""
    done: Future[R] = Future()
    done.set_result(work(*arguments))
    return done
