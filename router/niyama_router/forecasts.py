"""Follows this router's requests beside what was forecast of them: so quotes know how far to believe forecasts.

A request is forecast when it is first placed. Those that are open are looked at only when somebody asks for a quote: a
token costs nothing here.
"""

import math
from collections.abc import Iterator

from niyama.v1 import generation_pb2
from niyama_core.quotes import Course, Factor, ForecastRecords, Measure
from niyama_core.slo import Importance, Interactive, Promise
from niyama_runtime.clock import Clock

from niyama_router.journey import Journey

__all__ = ["Forecasts"]

_SURE = 0.95
_FRESH_SECONDS = 0.25


class Forecasts:
    """What became of this router's forecasts."""

    def __init__(self, clock: Clock) -> None:
        """Start without any; `clock` says how long open requests have taken."""
        self._clock = clock
        self._open: set[Journey] = set()
        self._records = ForecastRecords()
        self._usual: dict[tuple[str, Importance], tuple[Factor, float]] = {}

    def began(self, journey: Journey) -> None:
        """Follow a request."""
        self._open.add(journey)

    def ended(self, journey: Journey, completion: generation_pb2.Completion | None) -> None:
        """Learn from a request that has ended; one without a completion would have taken longer than it did."""
        self._open.discard(journey)
        for course in self._course(journey, is_whole=completion is not None):
            self._records.of(journey.admitted.promise).add(course)

    def factor(self, promise: Promise, measure: Measure, *, confidence: float) -> Factor:
        """Return by what forecasts for requests with such a promise are multiplied to hold so often."""
        alike = (one for one in self._open if _kind(one.admitted.promise) == _kind(promise))
        still_open = [course for journey in alike for course in self._course(journey, is_whole=False)]
        return self._records.of(promise).factor(measure, confidence, still_open=still_open)

    def seconds_for(self, promise: Promise, forecast: float) -> float:
        """Return how long a request with such a promise is to be expected to take that is forecast at so many seconds.

        It takes longer once in twenty; infinity when nobody can tell, because too many wait with no end in sight. It is
        looked up anew a few times a second: a door asks for each request.
        """
        now, kind = self._clock.now(), _kind(promise)
        factor, until = self._usual.get(kind, (None, 0.0))
        if factor is None or now >= until:
            measure = Measure.TTFT if isinstance(promise.slo, Interactive) else Measure.TTLT
            factor = self.factor(promise, measure, confidence=_SURE)
            self._usual[kind] = factor, now + _FRESH_SECONDS
        return math.inf if factor.value is None else factor.value * forecast

    def _course(self, journey: Journey, *, is_whole: bool) -> Iterator[Course]:
        """Yield how a request has gone so far, if it was forecast."""
        if journey.forecast is None:
            return
        emitted = journey.given.emitted_us
        now = emitted[-1] / 1e6 if is_whole and emitted else journey.elapsed(self._clock.now())
        yield Course(
            forecast=journey.forecast,
            expected_output_tokens=journey.admitted.expected_output_tokens,
            elapsed=now,
            ttft=emitted[0] / 1e6 if emitted else None,
            num_output_tokens=len(emitted),
            is_whole=is_whole,
        )


def _kind(promise: Promise) -> tuple[str, Importance]:
    return promise.qos_class, promise.importance
