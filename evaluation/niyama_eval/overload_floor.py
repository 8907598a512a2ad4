"""The fewest promises that must be broken when more is asked of a replica than it can do.

Like the limits that it builds on (`niyama_eval.limits`) it is a relaxation: what is due by an instant must have been
done by then, whoever is served costs their least seconds, and there are no more seconds than have passed. When a
request arrives is not asked. So for each instant at least so many of the requests that are due by it are late; the
instant that gives the most gives the floor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from niyama_core.slo import Interactive, promised_seconds
from numpy.typing import NDArray

from niyama_eval.limits import Prices
from niyama_eval.workloads import WorkloadRequest

__all__ = ["LONG_MISS", "Due", "Late", "fairest_late", "fewest_late", "fewest_late_of_lengths", "floor"]

Vector = NDArray[np.float64]
LONG_MISS = 2.0
"""How many times as often as all requests the long ones may miss, where that is bounded."""


@dataclass(frozen=True, slots=True)
class Due:
    """The requests that are due by an instant.

    Attributes:
        seconds: that each takes at least.
        prompts: tokens of their prompts.
        available: seconds until the instant.
    """

    seconds: Vector
    prompts: Vector
    available: float


Late = Callable[[Due], float]
"""How many of the requests that are due must be late."""


def floor(requests: Sequence[WorkloadRequest], prices: Prices, *, late: Late) -> float:
    """Return the least share of requests that are late on one replica, from 0 to 1.

    Args:
        requests: in the order of arrival.
        prices: what tokens cost at least.
        late: how many must be, of those that are due by an instant: one of the rules of this module.
    """
    prompts = np.array([request.num_prompt_tokens for request in requests], dtype=np.float64)
    answers = np.array([request.num_output_tokens for request in requests], dtype=np.float64)
    # An interactive request is on time by its first token, a batch request by its last.
    is_batch = np.array([not isinstance(request.promise.slo, Interactive) for request in requests])
    seconds = prices.prompt_seconds(prompts) + is_batch * prices.answer_seconds(prompts, answers)
    promised = np.array([promised_seconds(request.promise.slo) for request in requests])
    due = np.array([request.arrival for request in requests]) + promised
    last = requests[-1].arrival
    instants = [last, *(last + one for one in np.unique(promised))]
    return max(late(Due(seconds[due <= one], prompts[due <= one], one)) for one in instants) / len(requests)


def fewest_late(due: Due) -> float:
    """Return how many are late when the cheapest are served, whoever they are."""
    spent = np.cumsum(np.sort(due.seconds))
    return float(len(spent) - np.searchsorted(spent, due.available, side="right"))


def fewest_late_of_lengths(due: Due, *, long_tokens: int) -> float:
    """Return how many are late when prompts over `long_tokens` miss at most `LONG_MISS` times as often as all do."""
    is_long = due.prompts > long_tokens
    longs, shorts = (np.concatenate([[0.0], np.cumsum(np.sort(due.seconds[one]))]) for one in (is_long, ~is_long))
    num, num_longs, num_shorts = len(due.seconds), len(longs) - 1, len(shorts) - 1
    low, high = 0, num
    while low < high:
        num_late = (low + high) // 2
        late_longs = min(num_longs, num_late, round(LONG_MISS * num_late * num_longs / num))
        late_shorts = min(num_shorts, num_late - late_longs)
        served = longs[num_longs - late_longs] + shorts[num_shorts - late_shorts]
        low, high = (low, num_late) if served <= due.available else (num_late + 1, high)
    return float(low)


def fairest_late(due: Due) -> float:
    """Return how many are late when prompts of no length miss more than `LONG_MISS` times as often as all do.

    The dearest `1 / LONG_MISS` of the requests miss that often and the others never: nobody dearer is left to miss.
    """
    excess = float(due.seconds.sum()) - due.available
    if excess <= 0:
        return 0.0
    num = len(due.seconds)
    dearest = np.sort(due.seconds)[-max(1, round(num / LONG_MISS)) :]
    return min(1.0, excess / (LONG_MISS * float(dearest.sum()))) * num
