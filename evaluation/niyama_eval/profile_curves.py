"""What a latency profile says in figures: iteration times and prompt throughput by chunk, and what fits some slack."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from niyama_core.latency import IterationShape, LatencyModel
from niyama_core.profiles import LatencyProfile

__all__ = ["CHUNKS", "SLACKS", "ChunkPoint", "Company", "SlackPoint", "chunk_curve", "slack_curve"]

CHUNKS: Sequence[int] = (0, 64, 128, 256, 384, 512, 768, 1024, 1536, 2048, 2552, 4096, 8192)
"""Prompt tokens of the iterations that are shown."""

SLACKS: Sequence[float] = (0.025, 0.05, 0.1, 0.2, 0.5)
"""Seconds in which iterations shall be over."""

_MOST_TOKENS = 1 << 16


@dataclass(frozen=True, slots=True)
class Company:
    """What a chunk shares its iteration with.

    Attributes:
        num_decodes: sequences that decode.
        context_tokens: tokens of each of them in the KV cache.
        prefill_context_tokens: tokens of the chunk's own prompt that are computed already.
    """

    num_decodes: int = 32
    context_tokens: int = 1500
    prefill_context_tokens: int = 0

    def shape(self, chunk: int) -> IterationShape:
        """Return the iteration of a chunk in this company."""
        context = self.prefill_context_tokens if chunk else 0
        return IterationShape(
            chunk, self.num_decodes, self.num_decodes * self.context_tokens, context, chunk * (context + chunk / 2)
        )


@dataclass(frozen=True, slots=True)
class ChunkPoint:
    """An iteration with a chunk of some size.

    Attributes:
        chunk_tokens: of the prompt.
        predicted_seconds: as policies expect it.
        law_seconds: as the profile's law has it.
        prefill_tokens_per_second: prompt tokens over the law's seconds.
    """

    chunk_tokens: int
    predicted_seconds: float
    law_seconds: float
    prefill_tokens_per_second: float


@dataclass(frozen=True, slots=True)
class SlackPoint:
    """The largest chunk that the predictor expects to be over in some time.

    Attributes:
        slack_seconds: the time.
        chunk_tokens: of the largest chunk; None when not even the decodes fit.
        prefill_tokens_per_second: prompt tokens over the law's seconds with that chunk.
    """

    slack_seconds: float
    chunk_tokens: int | None
    prefill_tokens_per_second: float


def chunk_curve(profile: LatencyProfile, company: Company, *, chunks: Sequence[int] = CHUNKS) -> tuple[ChunkPoint, ...]:
    """Return the iterations with chunks of these sizes that have any work."""
    return tuple(_points(profile, company, chunks=chunks))


def slack_curve(
    profile: LatencyProfile, company: Company, *, slacks: Sequence[float] = SLACKS
) -> tuple[SlackPoint, ...]:
    """Return the largest chunk that fits each time, and how fast prompts are computed with it."""
    points = []
    for slack in slacks:
        chunk = _largest_chunk(profile.predictor, company, slack=slack)
        rate = chunk / profile.law.iteration_time(company.shape(chunk)) if chunk else 0.0
        points.append(SlackPoint(slack, chunk, rate))
    return tuple(points)


def _points(profile: LatencyProfile, company: Company, *, chunks: Sequence[int]) -> Iterator[ChunkPoint]:
    for chunk in chunks:
        shape = company.shape(chunk)
        if shape.num_tokens:
            seconds = profile.law.iteration_time(shape)
            yield ChunkPoint(chunk, profile.predictor.iteration_time(shape), seconds, chunk / seconds)


def _largest_chunk(model: LatencyModel, company: Company, *, slack: float) -> int | None:
    """Search from above in steps of the size: predicted times need not grow with every token."""
    chunk = _MOST_TOKENS
    while chunk and model.iteration_time(company.shape(chunk)) > slack:
        chunk -= max(chunk // 256, 1)
    if chunk or not company.num_decodes:
        return chunk
    return 0 if model.iteration_time(company.shape(0)) <= slack else None
