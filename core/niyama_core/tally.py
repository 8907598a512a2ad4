"""The load of a replica by class, counted from its live requests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from niyama_core.load import ClassLoad
from niyama_core.request import LiveRequest

__all__ = ["class_loads"]


@dataclass(slots=True)
class _Tally:
    queued_prefill_tokens: int = 0
    num_queued: int = 0
    num_decoding: int = 0
    num_relegated: int = 0
    relegated_prefill_tokens: int = 0

    def count(self, live: LiveRequest) -> None:
        if live.relegated:
            self.num_relegated += 1
            self.relegated_prefill_tokens += live.prefill_remaining
        elif live.prefill_remaining:
            self.num_queued += 1
            self.queued_prefill_tokens += live.prefill_remaining
        else:
            self.num_decoding += 1

    def load(self) -> ClassLoad:
        return ClassLoad(
            queued_prefill_tokens=self.queued_prefill_tokens,
            num_queued=self.num_queued,
            num_decoding=self.num_decoding,
            num_relegated=self.num_relegated,
            relegated_prefill_tokens=self.relegated_prefill_tokens,
        )


def class_loads(live_requests: Iterable[LiveRequest]) -> Mapping[str, ClassLoad]:
    """Return the load of each class that has work."""
    tallies: dict[str, _Tally] = {}
    for live in live_requests:
        tallies.setdefault(live.request.promise.qos_class, _Tally()).count(live)
    return {name: tally.load() for name, tally in tallies.items()}
