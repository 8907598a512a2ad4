"""The load of a replica by class, counted while requests come and go.

A replica reports its load ten times a second, with thousands of requests waiting under overload: what waits is counted
as it changes and never by walking through it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from niyama_core.load import ClassLoad
from niyama_core.request import LiveRequest

__all__ = ["Tally"]


@dataclass(slots=True)
class _Waiting:
    """The waiting requests of one class: how many, and their prompt tokens."""

    num_queued: int = 0
    queued_prefill_tokens: int = 0
    num_relegated: int = 0
    relegated_prefill_tokens: int = 0

    def count(self, live: LiveRequest, sign: int) -> None:
        if live.relegated:
            self.num_relegated += sign
            self.relegated_prefill_tokens += sign * live.prefill_remaining
        else:
            self.num_queued += sign
            self.queued_prefill_tokens += sign * live.prefill_remaining


class Tally:
    """The waiting requests of each class."""

    def __init__(self) -> None:
        """Start without requests."""
        self._waiting: dict[str, _Waiting] = {}

    def add(self, live: LiveRequest) -> None:
        """Count a request that begins to wait."""
        self._waiting.setdefault(live.request.promise.qos_class, _Waiting()).count(live, 1)

    def remove(self, live: LiveRequest) -> None:
        """Take back a request that has not changed since it was counted."""
        self._waiting[live.request.promise.qos_class].count(live, -1)

    def advance(self, live: LiveRequest, num_tokens: int) -> None:
        """Count so many fewer tokens of a request that waits; before it has advanced."""
        waiting = self._waiting[live.request.promise.qos_class]
        if live.relegated:
            waiting.relegated_prefill_tokens -= num_tokens
        else:
            waiting.queued_prefill_tokens -= num_tokens

    def class_loads(self, decodes: Iterable[LiveRequest]) -> Mapping[str, ClassLoad]:
        """Return the load of each class that has work: what waits, and these decodes."""
        decoding = dict.fromkeys(self._waiting, 0)
        relegated = dict.fromkeys(self._waiting, 0)
        for live in decodes:
            counts = relegated if live.relegated else decoding
            counts[live.request.promise.qos_class] += 1
        loads = {
            name: ClassLoad(
                queued_prefill_tokens=waiting.queued_prefill_tokens,
                num_queued=waiting.num_queued,
                num_decoding=decoding[name],
                num_relegated=waiting.num_relegated + relegated[name],
                relegated_prefill_tokens=waiting.relegated_prefill_tokens,
            )
            for name, waiting in self._waiting.items()
        }
        return {name: load for name, load in loads.items() if load != ClassLoad()}
