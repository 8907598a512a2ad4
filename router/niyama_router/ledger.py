"""Who is told what became of requests: attainment, metrics, and what is learnt of answers' lengths and of forecasts."""

from niyama_core.output_length import OutputLengthHistory

from niyama_router.attainment import Attainment
from niyama_router.forecasts import Forecasts
from niyama_router.journey import Journey
from niyama_router.metrics import RouterMetrics
from niyama_router.outcome import Outcome

__all__ = ["Ledger"]


class Ledger:
    """Counts every request twice: when it begins, and when it has ended."""

    def __init__(
        self, attainment: Attainment, metrics: RouterMetrics, *, lengths: OutputLengthHistory, forecasts: Forecasts
    ) -> None:
        """Tell these four."""
        self._attainment = attainment
        self._metrics = metrics
        self._lengths = lengths
        self._forecasts = forecasts

    def refused_invalid(self) -> None:
        """Count a request that had wrong fields."""
        self._metrics.refused_invalid()

    def began(self, journey: Journey) -> None:
        """Count a request that was admitted."""
        qos_class = journey.admitted.promise.qos_class
        self._attainment.began(qos_class)
        self._metrics.began(qos_class)
        self._forecasts.began(journey)

    def placed(self, journey: Journey) -> None:
        """Count a place for a client that streams from the replica itself: nobody here hears how that ends."""
        qos_class = journey.admitted.promise.qos_class
        if not journey.is_accepted:
            self._attainment.placed(qos_class)
        self._metrics.placed(qos_class, again=journey.is_accepted)

    def ended(self, outcome: Outcome) -> None:
        """Count what became of a request; call it once for each that began."""
        self._attainment.ended(outcome)
        self._metrics.ended(outcome)
        self._forecasts.ended(outcome.journey, outcome.completion)
        if outcome.completion is not None:
            app = outcome.journey.admitted.request.app
            self._lengths.record(app, outcome.completion.num_output_tokens)
