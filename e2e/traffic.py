"""Steady traffic of three classes through the client SDK, as an application in the cluster sends it, and its account.

It runs beside a test in a thread of its own, so that a test reads as what a person does meanwhile. Every answer is
looked at: a token that is missing, doubled or other than its predecessors make it (the paced engine's tokens say) is
an error like a call that failed.
"""

import asyncio
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from niyama_agent.paced_tokens import complaint
from niyama_client import Client, NiyamaError

__all__ = ["Answer", "Traffic", "traffic"]

CLASSES = ("chat", "summarise", "nightly")


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: when it was sent and ended (in seconds of the traffic), its class, who served it, what failed."""

    sent: float
    ended: float
    qos_class: str
    replica: str
    error: str = ""


@dataclass(slots=True)
class Traffic:
    """What has been sent, and what became of it."""

    began: float = field(default_factory=time.monotonic)
    num_sent: int = 0
    answers: list[Answer] = field(default_factory=list)

    @property
    def errors(self) -> Sequence[Answer]:
        """The answers that were none."""
        return [answer for answer in self.answers if answer.error]

    @property
    def num_lost(self) -> int:
        """Requests of which nothing has been heard; meaningful once the traffic has ended."""
        return self.num_sent - len(self.answers)

    def longest_gap(self) -> float:
        """Return the longest time in which no request ended, in seconds."""
        ends = sorted(answer.ended for answer in self.answers if not answer.error)
        return max((later - sooner for sooner, later in itertools.pairwise(ends)), default=0.0)

    def summary(self) -> str:
        """Return the account in a line."""
        words = Counter(answer.error.partition(":")[0] for answer in self.errors)
        kinds = ", ".join(f"{number} {word}" for word, number in words.items()) or "none"
        return (
            f"{self.num_sent} requests, {len(self.errors)} errors ({kinds}), {self.num_lost} lost, "
            f"longest time without an answer {self.longest_gap():.2f} s"
        )


@contextmanager
def traffic(address: str, *, per_second: float = 10.0, max_tokens: int = 60, seed: int = 1) -> Iterator[Traffic]:
    """Send requests to `address` until the block ends, then wait for their answers."""
    account, stop, rng = Traffic(), threading.Event(), random.Random(seed)
    sending = _send(account, address, stop=stop, per_second=per_second, max_tokens=max_tokens, rng=rng)
    sender = threading.Thread(target=asyncio.run, args=(sending,))
    sender.start()
    try:
        yield account
    finally:
        stop.set()
        sender.join(timeout=180)


async def _send(
    account: Traffic, address: str, *, stop: threading.Event, per_second: float, max_tokens: int, rng: random.Random
) -> None:
    async with Client(address, app="e2e") as client, asyncio.TaskGroup() as requests:
        while not stop.is_set():
            requests.create_task(_ask(account, client, max_tokens=max_tokens, number=account.num_sent))
            account.num_sent += 1
            await asyncio.sleep(rng.expovariate(per_second))


async def _ask(account: Traffic, client: Client, *, max_tokens: int, number: int) -> None:
    sent, qos_class = time.monotonic() - account.began, CLASSES[number % len(CLASSES)]
    prompt, error, replica = [number, *range(1, 200)], "", ""
    try:
        generation = client.generate(prompt, qos=qos_class, max_tokens=max_tokens, timeout=120)
        tokens = [token.id async for token in generation]
        replica = generation.completion.replica
        wrong = complaint(prompt, tokens, max_tokens=max_tokens)
        error = f"WrongAnswer: {wrong}" if wrong else ""
    except NiyamaError as failure:
        error = f"{type(failure).__name__}: {failure}"
    account.answers.append(Answer(sent, time.monotonic() - account.began, qos_class, replica, error))
