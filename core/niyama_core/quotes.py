"""What could be promised at this moment: a forecast, widened by as much as forecasts have been wrong of late.

A forecast knows the work that waits, not what comes while a request is served, whom the replica lets pass, or how fast
it will be. So it is not believed but measured: of each request is kept how many times as long as forecast it took, and
a quote is the forecast times the factor that so many of them stayed below.

- The *factor* is a conformal quantile (Vovk et al. 2005): with the request asked about as one more of n, it is the
  smallest that at least `confidence` * (n + 1) of them stay below. It needs no law of the errors.
- *Requests that have not ended* say something too, and under overload most: those that take long are those that are
  still open. They are known to take at least as long as they have, which is what the product-limit estimator (Kaplan
  and Meier 1958) is for. Without them quotes would be of those who were lucky.

Where not even the slowest bound is reached by enough of them, nothing can be promised, and the quote says so.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from niyama_core.placement_estimate import Forecast
from niyama_core.slo import Importance, Interactive, Promise, promised_seconds

__all__ = ["Course", "Factor", "ForecastRecord", "ForecastRecords", "Measure", "Quote", "quote"]

_MEMORY = 512


class Measure(Enum):
    """What a quote is about; each has errors of its own."""

    TTFT = "ttft"
    TTLT = "ttlt"
    """Of an answer whose length is expected from others."""
    TTLT_OF_LENGTH = "ttlt_of_length"
    """Of an answer whose length is known beforehand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a request has gone so far, beside what was forecast.

    Attributes:
        forecast: made when it was first placed.
        expected_output_tokens: of its answer, from then.
        elapsed: seconds since its arrival, or until it ended.
        ttft: seconds to its first token; None without one.
        num_output_tokens: tokens of its answer so far.
        is_whole: whether its answer has come to its end.
    """

    forecast: Forecast
    expected_output_tokens: int
    elapsed: float
    ttft: float | None
    num_output_tokens: int
    is_whole: bool

    def error(self, measure: Measure) -> tuple[float, bool]:
        """Return how many times as long as forecast it took, and whether that is known: else it takes at least that."""
        if measure is Measure.TTFT:
            took = self.elapsed if self.ttft is None else self.ttft
            return took / self.forecast.ttft, self.ttft is not None
        length = self.expected_output_tokens
        if measure is Measure.TTLT_OF_LENGTH:
            length = self.num_output_tokens if self.is_whole else max(length, self.num_output_tokens)
        return self.elapsed / self.forecast.ttlt(length), self.is_whole


@dataclass(frozen=True, slots=True)
class Factor:
    """By what a forecast is multiplied; None when no time can be promised.

    Attributes:
        value: the factor.
        confidence: share of the requests that stay below, as far as is known: less than was asked for while few have
            been seen, 0 when none has.
    """

    value: float | None
    confidence: float

    def applied_to(self, seconds: float) -> float | None:
        """Return what is quoted for a forecast of so many seconds."""
        return None if self.value is None else self.value * seconds


class ForecastRecord:
    """How forecasts for one kind of request have turned out: those for the last requests that ended."""

    def __init__(self) -> None:
        """Start without any."""
        self._ended: deque[Course] = deque(maxlen=_MEMORY)

    def add(self, course: Course) -> None:
        """Remember a request that has ended, well or not."""
        self._ended.append(course)

    def factor(self, measure: Measure, confidence: float, *, still_open: Iterable[Course]) -> Factor:
        """Return the factor below which a share of `confidence` stays, above 0 and below 1."""
        errors = sorted(course.error(measure) for course in (*self._ended, *still_open))
        if not errors:
            return Factor(1.0, 0.0)
        reachable = len(errors) / (len(errors) + 1)
        confidence = min(confidence, reachable)
        return Factor(_quantile(errors, confidence), confidence)


class ForecastRecords:
    """The records by class and importance: what is low goes last, so its forecasts are wrong in another way."""

    def __init__(self) -> None:
        """Start without any."""
        self._records: dict[tuple[str, Importance], ForecastRecord] = {}

    def of(self, promise: Promise) -> ForecastRecord:
        """Return the record of the requests with such a promise."""
        return self._records.setdefault((promise.qos_class, promise.importance), ForecastRecord())


@dataclass(frozen=True, slots=True)
class Quote:
    """What could be promised.

    Attributes:
        ttft: seconds to the first token; None when none can be promised.
        ttlt: seconds to the last token; likewise.
        confidence: share of such quotes that is expected to hold.
        keeps_promise: whether the class's own promise could be made with that confidence.
    """

    ttft: float | None
    ttlt: float | None
    confidence: float
    keeps_promise: bool


def quote(promise: Promise, times: Forecast, *, num_output_tokens: int, ttft: Factor, ttlt: Factor) -> Quote:
    """Return what could be promised of a request forecast at `times`, by the factors of its kind."""
    first, last = ttft.applied_to(times.ttft), ttlt.applied_to(times.ttlt(num_output_tokens))
    judged = first if isinstance(promise.slo, Interactive) else last
    return Quote(
        ttft=first,
        ttlt=last,
        confidence=min(ttft.confidence, ttlt.confidence),
        keeps_promise=judged is not None and judged <= promised_seconds(promise.slo),
    )


def _quantile(errors: Sequence[tuple[float, bool]], confidence: float) -> float | None:
    """Return the least error that a share of `confidence` stays below, by the product-limit estimator; or None.

    One more request, of which nothing is known, counts among those that may take longer.
    """
    longer, num_left = 1.0, len(errors) + 1
    for error, is_known in errors:
        if is_known:
            longer *= 1.0 - 1.0 / num_left
            if longer <= 1.0 - confidence or math.isclose(longer, 1.0 - confidence):
                return error
        num_left -= 1
    return None
