"""Contenders set against each other on the same requests, told apart from chance.

The same seed gives every contender the very same requests, so differences are taken seed by seed: what all runs of a
seed share, a burst or a long prompt, drops out of them. That is why a difference is known far better than the figures
that it is between.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from niyama_eval.run_figures import MEASURES, Figures
from niyama_eval.sensitivity import Difference

__all__ = ["Contrast", "contrasts", "mean_figures"]


@dataclass(frozen=True, slots=True)
class Contrast:
    """One figure of a contender beside that of the first.

    Attributes:
        measure: one of `MEASURES`.
        group: of which requests.
        first: mean over the seeds, of the first contender.
        other: of the other.
        difference: of the pairs, other less first; less is better in every measure.
    """

    measure: str
    group: str
    first: float
    other: float
    difference: Difference

    @property
    def verdict(self) -> str:
        """The difference in a word or two."""
        if self.difference.mean == 0 and self.difference.low in (None, 0.0):
            return "alike"
        if self.difference.low is None:
            return "one seed: unknown"
        if self.difference.is_within_noise:
            return "within noise"
        return "better" if self.difference.mean < 0 else "worse"


def contrasts(first: Sequence[Figures], other: Sequence[Figures]) -> Iterator[Contrast]:
    """Yield every figure of two contenders side by side; the runs of both are in the order of the same seeds.

    A figure counts for the seeds where both have it.
    """
    for measure in MEASURES:
        groups = dict.fromkeys(group for figures in (*first, *other) for group in figures[measure])
        for group in groups:
            pairs = [
                (one[measure][group], another[measure][group])
                for one, another in zip(first, other, strict=True)
                if group in one[measure] and group in another[measure]
            ]
            if pairs:
                yield _contrast(measure, group, pairs=pairs)


def mean_figures(runs: Sequence[Figures]) -> Figures:
    """Return the mean of one or more runs, figure by figure, over those that have it."""
    means: dict[str, dict[str, float]] = {}
    for measure in MEASURES:
        groups = dict.fromkeys(group for figures in runs for group in figures[measure])
        means[measure] = {g: statistics.fmean(f[measure][g] for f in runs if g in f[measure]) for g in groups}
    return means


def _contrast(measure: str, group: str, *, pairs: Sequence[tuple[float, float]]) -> Contrast:
    return Contrast(
        measure,
        group,
        first=statistics.fmean(one for one, _ in pairs),
        other=statistics.fmean(other for _, other in pairs),
        difference=Difference.of([other - one for one, other in pairs]),
    )
