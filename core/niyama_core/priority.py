"""In which order waiting prefills are served: the smallest key first.

A key may depend on how far a request has come, but not on `now`, so that a queue keeps its order while time passes;
it is taken anew whenever the request has advanced. Equal keys are served in the order of admission.
"""

from dataclasses import dataclass
from typing import Protocol

from niyama_core.request import LiveRequest

__all__ = [
    "DeadlineFirst",
    "FirstCome",
    "Hybrid",
    "LatestPrefill",
    "Priority",
    "ShortestJob",
    "ShortestRemainingPrefill",
]


class Priority(Protocol):
    """Orders waiting prefills."""

    def key(self, live: LiveRequest) -> float:
        """Return the key of a request; the smallest is served first."""
        ...


@dataclass(frozen=True, slots=True)
class FirstCome:
    """FCFS. Fair to arrivals, blind to promises: one long prompt makes everyone behind it late."""

    def key(self, live: LiveRequest) -> float:
        """Return the arrival."""
        return live.request.arrival


@dataclass(frozen=True, slots=True)
class DeadlineFirst:
    """EDF. Optimal while everything can be on time; under overload everything is a little late, so all is lost."""

    def key(self, live: LiveRequest) -> float:
        """Return the deadline of the first token, or of the answer of a batch request."""
        return live.due


@dataclass(frozen=True, slots=True)
class ShortestRemainingPrefill:
    """SRPF. The most requests on time under overload; long prompts starve."""

    def key(self, live: LiveRequest) -> float:
        """Return the prompt tokens that are still to be computed."""
        return live.prefill_remaining


@dataclass(frozen=True, slots=True)
class ShortestJob:
    """SJF. The shortest total work first, by the expected length of the answer."""

    def key(self, live: LiveRequest) -> float:
        """Return the tokens that are still to be computed, expected output included."""
        return live.prefill_remaining + live.output_remaining


@dataclass(frozen=True, slots=True)
class Hybrid:
    """Between EDF and SRPF: `due + alpha x work`, with QoServe's definition of work.

    Inside a class nearly shortest-first, across classes driven by deadlines. `alpha` 0 is EDF, a large one is SRPF.

    Attributes:
        alpha: seconds for each token of work that remains: prefill of an interactive request, prefill and expected
            output of a batch request.
    """

    alpha: float

    def key(self, live: LiveRequest) -> float:
        """Return the deadline, put off by the work that remains."""
        work = live.prefill_remaining
        if live.tbt is None:
            work += live.output_remaining
        return live.due + self.alpha * work


@dataclass(frozen=True, slots=True)
class LatestPrefill:
    """By when a prefill must be complete, put off a little by its length.

    Unlike `Hybrid` it counts the time that a batch answer decodes, so a long answer begins earlier and not later. A
    small `alpha` lets short prompts pass long ones of nearly the same urgency and leaves the order driven by deadlines
    when classes are close to one another.

    Attributes:
        alpha: seconds for each prompt token that remains.
    """

    alpha: float

    def key(self, live: LiveRequest) -> float:
        """Return the latest end of the prefill, put off by what remains of it."""
        return live.prefill_due + self.alpha * live.prefill_remaining
