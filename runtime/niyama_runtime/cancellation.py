"""Telling two cancellations apart: of a call, which its own reader may have wished, and of the task that reads it."""

import asyncio

__all__ = ["is_task_cancelled"]


def is_task_cancelled() -> bool:
    """Return whether somebody wants the running task itself to end, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
