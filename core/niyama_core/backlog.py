"""The prefills that wait on a replica: those that can be on time, and those put behind them.

Five things are kept in step here and nowhere else: the two queues, who has begun and so holds KV, how much important
work waits, and how much of each class. A request is in one queue or in none, and in the demand only while it waits,
important and not relegated.
"""

from collections.abc import Collection

from niyama_core.delay_toll import DelayToll
from niyama_core.demand import DemandCurve
from niyama_core.prefill_queue import PrefillQueue
from niyama_core.priority import Priority
from niyama_core.prompt_lengths import PromptLengths
from niyama_core.request import LiveRequest
from niyama_core.tally import Tally

__all__ = ["Backlog"]


class Backlog:
    """The requests that have prefill to compute.

    Args:
        priority: order of those that can be on time.
    """

    def __init__(self, priority: Priority) -> None:
        """Start without work."""
        self._priority = priority
        self._num_important = 0
        self._lengths = PromptLengths()
        self.waiting = PrefillQueue(priority.key)
        """Those that can be on time."""
        self.relegated = PrefillQueue(_relegated_key)
        """Those behind them."""
        self.important_demand = DemandCurve()
        """The important work among `waiting`."""
        self.tally = Tally()
        """What waits, by class."""
        self._begun: dict[str, LiveRequest] = {}

    @property
    def begun(self) -> Collection[LiveRequest]:
        """Those of which a part has been computed, in the order in which they began."""
        return self._begun.values()

    def begun_in_order(self) -> list[LiveRequest]:
        """Return those that have begun in the order in which they are served."""
        if len(self._begun) < 2:
            return [*self._begun.values()]
        return [
            *self.waiting.in_order(live for live in self._begun.values() if not live.relegated),
            *self.relegated.in_order(live for live in self._begun.values() if live.relegated),
        ]

    @property
    def is_empty(self) -> bool:
        """Whether nobody has prefill to compute."""
        return not self.waiting and not self.relegated

    def next(self) -> LiveRequest | None:
        """Return the request that is next, or None without work."""
        return self.waiting.peek() or self.relegated.peek()

    def reorder(self, priority: Priority) -> None:
        """Put those that can be on time in another order."""
        self._priority = priority
        waiting, self.waiting = self.waiting, PrefillQueue(priority.key)
        for live in waiting:
            self.waiting.put(live)

    def admit(self, live: LiveRequest) -> None:
        """Take in a request that has just come."""
        self._lengths.record(live.request.num_prompt_tokens)
        self.put(live)

    def adapt(self, prefill_rate: float) -> None:
        """Put those that wait in order anew if the order depends on how many they are, and that has changed."""
        order = self._priority
        if isinstance(order, DelayToll):
            num_important = self._num_important
            num_low = len(self.waiting) - num_important
            if not order.fits(num_important, num_low):
                seconds = 1 / prefill_rate
                self.reorder(order.reckoned(num_important, num_low, seconds_per_token=seconds, lengths=self._lengths))

    def put(self, live: LiveRequest) -> None:
        """Take a request in, for the first time or again."""
        self._queue_of(live).put(live)
        self.tally.add(live)
        if _is_demand(live):
            self._num_important += 1
            self.important_demand.add(live, live.prefill_remaining)
        if live.has_started:
            self._begun[live.request.request_id] = live

    def remove(self, live: LiveRequest) -> bool:
        """Let go of a request; return whether it was here."""
        if not self._queue_of(live).remove(live):
            return False
        self.tally.remove(live)
        if _is_demand(live):
            self._num_important -= 1
            self.important_demand.add(live, -live.prefill_remaining)
        self._begun.pop(live.request.request_id, None)
        return True

    def relegate(self, live: LiveRequest) -> None:
        """Put a request behind all that can be on time; one that is not here is marked alone."""
        waited = self.remove(live)
        live.relegate()
        if waited:
            self.put(live)

    def advance(self, live: LiveRequest, num_tokens: int, *, now: float) -> bool:
        """Count a chunk that was computed by `now`; return whether it completed the prefill, which leaves then."""
        self.tally.advance(live, num_tokens)
        if _is_demand(live):
            self.important_demand.add(live, -num_tokens)
        if live.advance_prefill(num_tokens, now):
            self.remove(live)
            return True
        self._queue_of(live).put(live)
        self._begun[live.request.request_id] = live
        return False

    def find_cached(self, live: LiveRequest, num_tokens: int) -> None:
        """Note how many tokens the KV cache holds for the prefill of a request; nothing where none is left."""
        if self.remove(live):
            live.find_cached(num_tokens)
            self.put(live)

    def _queue_of(self, live: LiveRequest) -> PrefillQueue:
        return self.relegated if live.relegated else self.waiting


def _is_demand(live: LiveRequest) -> bool:
    return live.is_important and not live.relegated


def _relegated_key(live: LiveRequest) -> tuple[bool, bool, float]:
    """Order relegated requests: begun ones hold KV and go first, then the important, then who came first."""
    return not live.has_started, not live.is_important, live.request.arrival
