"""The order of `niyama`: between EDF and SRPF by how many wait.

Apart from the other orders because it is the one that follows the load, and brings what it needs for that.
"""

from dataclasses import dataclass, replace
from math import inf

from niyama_core.prompt_lengths import PromptLengths
from niyama_core.request import LiveRequest

__all__ = ["DelayToll"]

# Of those who wait, the share that a delay is taken to make late: most have time to spare, or are too late anyway.
_SHARE_HARMED = 1 / 8
# How much more a delay of important work counts when a request of low importance causes it.
_IMPORTANT_WEIGHT = 4
# By what factor the number of those who wait may change before the queue is put in order anew.
_TOLERANCE = 1.25
# Multiples of it, less the whole, are spread evenly whatever the first and however many: a lot for each request.
_GOLDEN_RATIO = 0.618033988749895
# How many times the bound a lot may add: about as far apart as the longer half of prompts are.
_LOT_SPREAD = 3


@dataclass(frozen=True, slots=True)
class DelayToll:
    """Who waits for less is served first: `prefill_due + toll x work`, with a toll that grows with the queue.

    To compute a token delays everybody who waits by `seconds_per_token`. So a request is put off by its work times
    those who wait, in seconds, of which an eighth is counted: `toll = seconds_per_token x N / 8`. When few wait that is
    the order of due times (EDF), which keeps all promises that can be kept. When many do, not all can be kept; then it
    nears the shortest prompt first (SRPF), and long prompts wait until they are hopeless. That keeps the most promises,
    and it keeps those served from being served at the last moment: an interactive request that has time to spare
    decodes beside large chunks, one that has none forces small ones. Among classes the marginal prompt is alike.

    `N` is how many wait, for a request of low importance the important ones fourfold, and for an important one the
    important ones alone: it owes nothing to those who give way to it.

    Ties go to who was admitted first. The trade-off is that long prompts pay for overload. `fairness` F bounds that:
    the longest 1/F of the prompts draw lots among themselves, in place of their lengths, so that they miss alike, and
    F times as often as the mean if only they miss. With F = 2 the longer half shares what is missed. Fewer promises are
    kept, since each that is broken sets fewer tokens free. To serve them by due time instead would serve all of them
    at the last moment, and lets the longest miss first all the same.

    Attributes:
        fairness: how many times as often as the mean the longest prompts may miss, 1 or more; None bounds nothing.
        important_toll: seconds that a token of an important request is put off by.
        low_toll: likewise of low importance.
        num_important: important requests that waited when the tolls were set.
        num_low: others that waited then.
        most_tokens: longer prompts draw lots.
    """

    fairness: float | None = None
    important_toll: float = 0.0
    low_toll: float = 0.0
    num_important: int = 0
    num_low: int = 0
    most_tokens: float = inf

    def key(self, live: LiveRequest) -> float:
        """Return the latest end of the prefill, put off by what remains of it."""
        work: float = live.prefill_remaining
        if work > self.most_tokens:
            work = self.most_tokens * (1 + _LOT_SPREAD * (live.turn * _GOLDEN_RATIO % 1.0))
        return live.prefill_due + (self.important_toll if live.is_important else self.low_toll) * work

    def fits(self, num_important: int, num_low: int) -> bool:
        """Return whether the tolls are still right to a quarter when so many wait."""
        return _is_near(self.num_important, num_important) and _is_near(self.num_low, num_low)

    def reckoned(
        self, num_important: int, num_low: int, *, seconds_per_token: float, lengths: PromptLengths
    ) -> "DelayToll":
        """Return the tolls for so many who wait, at a measured time for each token of prefill."""
        share = _SHARE_HARMED * seconds_per_token
        return replace(
            self,
            important_toll=share * num_important,
            low_toll=share * (_IMPORTANT_WEIGHT * num_important + num_low),
            num_important=num_important,
            num_low=num_low,
            most_tokens=inf if self.fairness is None else lengths.quantile(1 - 1 / self.fairness),
        )


def _is_near(before: int, after: int) -> bool:
    """Return whether two counts differ by less than the tolerance, or by one or two of few."""
    return before <= _TOLERANCE * after + 2 and after <= _TOLERANCE * before + 2
