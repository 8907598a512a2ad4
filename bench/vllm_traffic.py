"""The traffic of the contest on a real vLLM, and what came of it.

Interactive and batch requests, one in ten with a long prompt, 45 in 100 of low importance; lengths of answers are drawn
beforehand and told to nobody who schedules.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from statistics import median

from niyama_agent.engine import EngineRequest, TokensEmitted
from niyama_core.delivery import Delivery
from niyama_core.request import Request
from niyama_core.slo import Batch, Importance, Interactive, Promise

__all__ = ["CHAT_TBT", "LONGEST_TTLT", "MAX_OUTPUT_TOKENS", "Asked", "Figures", "Given", "draw_traffic", "mean_tokens"]

CHAT_TBT = 0.1
"""Seconds a token that interactive requests are promised."""

LONGEST_TTLT = 20.0
"""Seconds within which the most patient answer is promised whole."""

MAX_OUTPUT_TOKENS = 256
"""The cap on an answer, which is all that is told of its length."""

_CLASSES = (
    (0.5, "chat", Interactive(ttft=3.0, tbt=CHAT_TBT)),
    (0.3, "summarise", Batch(ttlt=10.0)),
    (0.2, "nightly", Batch(ttlt=LONGEST_TTLT)),
)
_LOW_SHARE = 0.45
_LONG_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the traffic: when it comes, seconds from the beginning, and what it is."""

    at: float
    prompt: tuple[int, ...]
    num_output_tokens: int
    promise: Promise

    @property
    def is_important(self) -> bool:
        """Whether it is of high importance."""
        return self.promise.importance is Importance.HIGH

    @property
    def num_tokens(self) -> int:
        """Tokens that it takes to serve it."""
        return len(self.prompt) + self.num_output_tokens

    def request(self, name: str, *, began: float) -> EngineRequest:
        """Return it as an engine takes it, when the traffic began at an instant."""
        request = Request(name, self.promise, began + self.at, len(self.prompt), MAX_OUTPUT_TOKENS)
        return EngineRequest(request=request, prompt_token_ids=self.prompt, replay_output_tokens=self.num_output_tokens)


def draw_traffic(*, qps: float, seconds: float, seed: int) -> Iterator[Asked]:
    """Yield the requests of so many seconds, at a rate without memory; for ever where `seconds` is infinite."""
    rng = random.Random(seed)
    at = 0.0
    while (at := at + rng.expovariate(qps)) < seconds:
        yield _draw(rng, at)


def mean_tokens(number: int) -> float:
    """Return the mean tokens of a request, over so many."""
    drawn = islice(draw_traffic(qps=1.0, seconds=math.inf, seed=0), number)
    return sum(asked.num_tokens for asked in drawn) / number


def _draw(rng: random.Random, at: float) -> Asked:
    ((_, name, slo),) = rng.choices(_CLASSES, [weight for weight, _, _ in _CLASSES])
    importance = Importance.LOW if rng.random() < _LOW_SHARE else Importance.HIGH
    is_long = rng.random() < _LONG_SHARE
    length = rng.randint(1000, 1800) if is_long else round(math.exp(rng.uniform(math.log(32), math.log(400))))
    output = max(4, min(120, round(rng.lognormvariate(math.log(24), 0.6))))
    prompt = tuple(rng.randrange(3, 250) for _ in range(length))
    return Asked(at, prompt, output, Promise(name, slo, importance))


@dataclass(slots=True)
class Given:
    """What a request was given."""

    asked: Asked
    delivery: Delivery
    is_complete: bool = False
    gaps: list[float] = field(default_factory=list)

    def take(self, event: TokensEmitted) -> None:
        """Count tokens, and the gaps between those of an interactive answer."""
        if isinstance(self.asked.promise.slo, Interactive):
            last = () if self.delivery.last_at is None else (self.delivery.last_at,)
            self.gaps += [after - before for before, after in pairwise((*last, *event.emitted_at))]
        self.delivery.take(event.emitted_at)

    @property
    def is_on_time(self) -> bool:
        """Whether the first token, or the whole answer of a batch request, came in time."""
        return self.is_complete and self.delivery.is_on_time

    @property
    def is_kept(self) -> bool:
        """Whether all of the promise was kept: it was on time, and of its tokens at most one in twenty came late."""
        return self.is_on_time and self.delivery.num_late_tokens <= self.delivery.num_tokens / 20


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of one run.

    Attributes:
        num_requests: that were asked.
        num_incomplete: that were not answered to the end.
        missed: share of requests that were not on time.
        missed_important: likewise, of important requests.
        broken_important: share of important requests whose promise was not kept in all, the time a token included.
        late_tokens: share of interactive tokens that came after they were due.
        gap_p99: seconds, of the gaps between interactive tokens.
        tokens_per_second: of prompts and answers, from the first arrival to the last token.
        ttft_p50: seconds, of interactive requests that are important.
        ttft_p95: likewise.
    """

    num_requests: int
    num_incomplete: int
    missed: float
    missed_important: float
    broken_important: float
    late_tokens: float
    gap_p99: float
    tokens_per_second: float
    ttft_p50: float
    ttft_p95: float

    @classmethod
    def of(cls, given: Sequence[Given], *, seconds: float) -> "Figures":
        """Return the figures of a run that took so many seconds to its last token."""
        important = [one for one in given if one.asked.is_important]
        interactive = [one for one in given if isinstance(one.asked.promise.slo, Interactive)]
        num_tokens = sum(one.delivery.num_tokens for one in interactive)
        gaps = sorted(gap for one in interactive for gap in one.gaps) or [0.0]
        waits = sorted(one.delivery.ttft or math.inf for one in interactive if one.asked.is_important) or [0.0]
        return cls(
            num_requests=len(given),
            num_incomplete=sum(not one.is_complete for one in given),
            missed=_share(not one.is_on_time for one in given),
            missed_important=_share(not one.is_on_time for one in important),
            broken_important=_share(not one.is_kept for one in important),
            late_tokens=sum(one.delivery.num_late_tokens for one in interactive) / max(1, num_tokens),
            gap_p99=gaps[int(0.99 * (len(gaps) - 1))],
            tokens_per_second=sum(one.asked.num_tokens for one in given if one.is_complete) / seconds,
            ttft_p50=median(waits),
            ttft_p95=waits[int(0.95 * (len(waits) - 1))],
        )


def _share(flags: Iterator[bool]) -> float:
    counted = list(flags)
    return sum(counted) / max(1, len(counted))
