"""`Quote`: what could be promised to each class now, where its request would be placed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from niyama.v1 import inference_pb2
from niyama_core.output_length import OutputLengthHistory
from niyama_core.placement import Candidate, Placed, PlacementRequest, place
from niyama_core.placement_estimate import forecast
from niyama_core.quotes import Measure, Quote, quote
from niyama_core.slo import QosClass
from niyama_runtime import wire
from niyama_runtime.clock import Clock
from niyama_runtime.status import FieldViolation

from niyama_router.call_metadata import MAX_NAME_CHARACTERS
from niyama_router.directory import Directory
from niyama_router.errors import InvalidRequestError
from niyama_router.forecasts import Forecasts
from niyama_router.placing import nobody
from niyama_router.request_checks import Limits
from niyama_router.rules import LiveRules

__all__ = ["Quoting"]

_USUAL_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked: lengths in tokens, the answer's as known or as expected, and how often the quote shall hold."""

    num_prompt_tokens: int
    num_output_tokens: int
    is_length_known: bool
    confidence: float


class Quoting:
    """Quotes."""

    def __init__(
        self,
        live: LiveRules,
        directory: Directory,
        *,
        forecasts: Forecasts,
        lengths: OutputLengthHistory,
        clock: Clock,
    ) -> None:
        """Ask these parts."""
        self._live = live
        self._directory = directory
        self._forecasts = forecasts
        self._lengths = lengths
        self._clock = clock

    def quote(self, asked: inference_pb2.QuoteRequest, limits: Limits) -> inference_pb2.QuoteResponse:
        """Return what could be promised to each class.

        Raises:
            InvalidRequestError: fields are wrong; all of them are in the error.
            RequestFailedError: no replica is there.
        """
        violations = list(_check(asked, limits))
        if violations:
            raise InvalidRequestError(violations)
        candidates = self._directory.candidates(self._clock.now(), num_routers=self._live.rules.num_routers)
        if not candidates:
            raise nobody()
        question = _Question(
            num_prompt_tokens=asked.num_prompt_tokens,
            num_output_tokens=asked.num_output_tokens or self._lengths.expected(asked.app, limits.max_output_tokens),
            is_length_known=asked.num_output_tokens > 0,
            confidence=asked.confidence or _USUAL_CONFIDENCE,
        )
        quotes = [self._of_class(one, question, candidates=candidates) for one in self._live.rules.classes]
        return inference_pb2.QuoteResponse(quotes=quotes)

    def _of_class(
        self, qos_class: QosClass, question: _Question, *, candidates: Sequence[Candidate]
    ) -> inference_pb2.ClassQuote:
        promise, rules = qos_class.promise(), self._live.rules
        request = PlacementRequest(promise, question.num_prompt_tokens, question.num_output_tokens)
        # By a policy of its own: to ask about a place changes nobody's turn.
        placed = place(request, candidates, policy=rules.build_placement())
        name = placed.replica if isinstance(placed, Placed) else candidates[0].load.replica
        chosen = next(candidate for candidate in candidates if candidate.load.replica == name)
        last = Measure.TTLT_OF_LENGTH if question.is_length_known else Measure.TTLT
        ttft, ttlt = [
            self._forecasts.factor(promise, measure, confidence=question.confidence) for measure in (Measure.TTFT, last)
        ]
        times = forecast(request, chosen, classes=rules.classes)
        quoted = quote(promise, times, num_output_tokens=question.num_output_tokens, ttft=ttft, ttlt=ttlt)
        return _to_wire(quoted, qos_class=qos_class.name, replica=name)


def _check(asked: inference_pb2.QuoteRequest, limits: Limits) -> Iterator[FieldViolation]:
    longest = limits.context_tokens or None
    if asked.num_prompt_tokens < 1:
        yield FieldViolation("num_prompt_tokens", "is required: give the prompt's length, 1 or more")
    elif longest is not None and asked.num_prompt_tokens >= longest:
        yield FieldViolation("num_prompt_tokens", f"must be less than {longest}, the model's context, answer included")
    if asked.num_output_tokens > limits.max_output_tokens:
        yield FieldViolation("num_output_tokens", f"must be at most {limits.max_output_tokens}, or left out")
    if len(asked.app) > MAX_NAME_CHARACTERS:
        yield FieldViolation("app", f"has {len(asked.app)} characters: at most {MAX_NAME_CHARACTERS}")
    if not 0 <= asked.confidence < 1:
        yield FieldViolation("confidence", f"{asked.confidence:g} is out of range: above 0 and below 1, or left out")


def _to_wire(quoted: Quote, *, qos_class: str, replica: str) -> inference_pb2.ClassQuote:
    return inference_pb2.ClassQuote(
        qos_class=qos_class,
        ttft=None if quoted.ttft is None else wire.duration_to_wire(quoted.ttft),
        ttlt=None if quoted.ttlt is None else wire.duration_to_wire(quoted.ttlt),
        feasible=quoted.keeps_promise,
        confidence=quoted.confidence,
        replica=replica,
    )
