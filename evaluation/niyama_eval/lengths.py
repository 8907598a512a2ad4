"""How long prompts and answers are: drawn from quantile tables, or from the rows of a trace.

Draws are prefix-stable: with the same seed, the first thousand lengths are the same whether a thousand or a million
are drawn, so a longer run begins with the shorter one.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from niyama_eval.traces import Trace

__all__ = ["LengthTable", "Lengths", "Quantiles", "Sizes", "TraceLengths"]

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Sizes:
    """Tokens of each prompt and of each answer, request by request; never 0, since nothing can serve that."""

    num_prompt_tokens: Counts
    num_output_tokens: Counts

    @classmethod
    def of(cls, num_prompt_tokens: Counts, num_output_tokens: Counts) -> "Sizes":
        """Return sizes with every 0 made 1, as the published evaluation does with empty answers."""
        return cls(np.maximum(num_prompt_tokens, 1), np.maximum(num_output_tokens, 1))

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.num_prompt_tokens)

    def within(self, total: int | None) -> "Sizes":
        """Return the sizes with answers, and where need be prompts, cut so that both fit into `total` tokens."""
        if total is None:
            return self
        prompts = np.minimum(self.num_prompt_tokens, total - 1)
        return Sizes(prompts, np.minimum(self.num_output_tokens, total - prompts))


class Lengths(Protocol):
    """Where lengths come from."""

    def draw(self, num: int, rng: np.random.Generator) -> Sizes:
        """Return the sizes of `num` requests."""
        ...


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A distribution of token counts by its percentiles; in between it is linear.

    Attributes:
        percentiles: rising from 0 to 100.
        tokens: tokens at each of them, never falling.
    """

    percentiles: tuple[float, ...]
    tokens: tuple[float, ...]

    def at(self, share: NDArray[np.float64]) -> Counts:
        """Return the tokens at each share from 0 to 1, rounded to whole ones."""
        return np.rint(np.interp(share * 100.0, self.percentiles, self.tokens)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class LengthTable:
    """Prompt lengths by quantiles, answer lengths by quantiles that may depend on the prompt.

    Attributes:
        prompt: prompts of all requests.
        edges: the longest prompt of each bucket but the last; empty when answers do not depend on prompts.
        outputs: answers, one table a bucket.
        max_total_tokens: the longest prompt plus answer of the trace, where its authors cut it there.
    """

    prompt: Quantiles
    edges: tuple[float, ...]
    outputs: tuple[Quantiles, ...]
    max_total_tokens: int | None = None

    def draw(self, num: int, rng: np.random.Generator) -> Sizes:
        """Return the sizes of `num` requests by inverse transform, two uniform numbers a request."""
        shares = rng.random((num, 2))
        prompts = self.prompt.at(shares[:, 0])
        buckets = np.searchsorted(self.edges, prompts)
        outputs = np.zeros(num, np.int64)
        for bucket, table in enumerate(self.outputs):
            chosen = buckets == bucket
            outputs[chosen] = table.at(shares[chosen, 1])
        return Sizes.of(prompts, outputs).within(self.max_total_tokens)


@dataclass(frozen=True, slots=True, eq=False)
class TraceLengths:
    """The rows of a trace in random order, each once before any comes again, as the published evaluation takes them."""

    trace: Trace

    def draw(self, num: int, rng: np.random.Generator) -> Sizes:
        """Return the sizes of `num` requests."""
        num_rounds = -(-num // len(self.trace))
        shuffles = [rng.permutation(len(self.trace)) for _ in range(num_rounds)]
        return self.rows(np.concatenate([*shuffles, np.zeros(0, np.int64)])[:num])

    def rows(self, rows: Counts) -> Sizes:
        """Return the sizes in these rows, which are counted from 0."""
        return Sizes.of(self.trace.num_prompt_tokens[rows], self.trace.num_output_tokens[rows])
