"""How long an iteration takes.

A `LatencyModel` maps the shape of an iteration to seconds. Three uses, three objects: the *law* that the paced
engine and the simulator obey, the *predictor* that policies plan with, and what a real engine then measures. They
are never the same object, so that no policy plans with an oracle.
"""

from dataclasses import dataclass
from typing import Protocol

from niyama_core.hot_value import hot_value

__all__ = ["IterationShape", "LatencyModel", "LinearPiece", "PhysicalLaw", "ScaledLatency", "TwoPieceLaw"]


@hot_value
class IterationShape:
    """What an iteration computes, in the sums that its time depends on.

    Attributes:
        prefill_tokens: tokens of all prefill chunks.
        num_decodes: sequences that decode, one token each.
        decode_context_tokens: sum of the decodes' tokens in the KV cache.
        prefill_context_tokens: sum of the prefilling requests' tokens in the KV cache before the iteration.
        prefill_attention: sum over chunks of tokens x (context + tokens / 2): pairs that prefill attention visits.
    """

    prefill_tokens: int
    num_decodes: int
    decode_context_tokens: int
    prefill_context_tokens: int = 0
    prefill_attention: float = 0.0

    @property
    def num_tokens(self) -> int:
        """Tokens that the iteration computes."""
        return self.prefill_tokens + self.num_decodes


class LatencyModel(Protocol):
    """Maps the shape of an iteration to its time."""

    def iteration_time(self, shape: IterationShape) -> float:
        """Return the seconds that an iteration of this shape takes."""
        ...


@dataclass(frozen=True, slots=True)
class LinearPiece:
    """One linear piece of a law: seconds, and seconds for each token of a kind."""

    intercept: float
    prefill: float
    decode: float
    decode_context: float
    prefill_context: float

    def iteration_time(self, shape: IterationShape) -> float:
        """Return the seconds that an iteration of this shape takes."""
        return (
            self.intercept
            + self.prefill * shape.prefill_tokens
            + self.decode * shape.num_decodes
            + self.decode_context * shape.decode_context_tokens
            + self.prefill_context * shape.prefill_context_tokens
        )


@dataclass(frozen=True, slots=True)
class TwoPieceLaw:
    """Two linear pieces, split by the tokens in the iteration: the form of the published artifact's predictor."""

    split_tokens: int
    below: LinearPiece
    above: LinearPiece

    def iteration_time(self, shape: IterationShape) -> float:
        """Return the seconds that an iteration of this shape takes."""
        total = shape.prefill_tokens + shape.num_decodes
        piece = self.below if total <= self.split_tokens else self.above
        return piece.iteration_time(shape)


@dataclass(frozen=True, slots=True)
class PhysicalLaw:
    """A closed form with one term for each thing that a GPU does in an iteration; coefficients in seconds.

    `t = base + token x max(T, floor_tokens) + step x [T > step_tokens] + prefill x P + any_prefill x [P > 0]
    + decode x D + attention x A + decode_context x S` with P prefill tokens, D decodes, T = P + D, A the pairs
    that prefill attention visits, and S the decodes' tokens in the KV cache.
    """

    base: float
    token: float
    floor_tokens: int
    step: float
    step_tokens: int
    prefill: float
    any_prefill: float
    decode: float
    attention: float
    decode_context: float

    def iteration_time(self, shape: IterationShape) -> float:
        """Return the seconds that an iteration of this shape takes."""
        total = shape.prefill_tokens + shape.num_decodes
        seconds = (
            self.base
            + self.token * max(total, self.floor_tokens)
            + self.prefill * shape.prefill_tokens
            + self.decode * shape.num_decodes
            + self.attention * shape.prefill_attention
            + self.decode_context * shape.decode_context_tokens
        )
        if total > self.step_tokens:
            seconds += self.step
        if shape.prefill_tokens:
            seconds += self.any_prefill
        return seconds


@dataclass(frozen=True, slots=True)
class ScaledLatency:
    """Another model's time multiplied by a factor: a faster or slower machine of the same shape."""

    model: LatencyModel
    factor: float

    def iteration_time(self, shape: IterationShape) -> float:
        """Return the seconds that an iteration of this shape takes."""
        return self.factor * self.model.iteration_time(shape)
