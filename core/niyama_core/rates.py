"""What a replica has measured of its own speed, smoothed: the figures that deadlines are judged by."""

from niyama_core.latency import IterationShape, LatencyModel

__all__ = ["MeasuredRates"]

_DECAY = 0.98
_TYPICAL_CHUNK = 2048
_TYPICAL_DECODES = 32
_TYPICAL_CONTEXT = 1500


class MeasuredRates:
    """Moving averages over iterations, begun at what the predictor expects of typical ones.

    Args:
        predictor: expected time of an iteration.
    """

    def __init__(self, predictor: LatencyModel) -> None:
        """Begin with the predictor's figures."""
        context = _TYPICAL_DECODES * _TYPICAL_CONTEXT
        full = IterationShape(_TYPICAL_CHUNK, _TYPICAL_DECODES, context, prefill_attention=_TYPICAL_CHUNK**2 / 2)
        decodes_only = IterationShape(0, _TYPICAL_DECODES, context)
        self.prefill_rate = _TYPICAL_CHUNK / predictor.iteration_time(full)
        """Prefill tokens a second, over full iterations."""
        self.iteration_time = 2 * predictor.iteration_time(decodes_only)
        """Seconds of an iteration."""

    def observe(self, prefill_tokens: int, seconds: float, *, budget_spent: bool) -> None:
        """Take in one iteration.

        Args:
            prefill_tokens: tokens of its chunks.
            seconds: how long it took.
            budget_spent: whether it was full. One that ran out of work says nothing of the rate under load.
        """
        if seconds <= 0:
            return
        self.iteration_time += (1 - _DECAY) * (seconds - self.iteration_time)
        if prefill_tokens and budget_spent:
            self.prefill_rate += (1 - _DECAY) * (prefill_tokens / seconds - self.prefill_rate)
