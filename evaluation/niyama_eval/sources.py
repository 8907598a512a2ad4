"""Where requests come from: shipped figures of a public trace, or a trace file of one's own.

A source gives sizes for arrivals that somebody else drew, or replays its own arrivals with the sizes that belong to
them. Traces and curves begin again where they end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from niyama_eval.arrivals import Times, Until, draw_arrivals
from niyama_eval.errors import WorkloadError
from niyama_eval.figures import WORKLOADS, WorkloadFigures, load_figures
from niyama_eval.lengths import Counts, Sizes, TraceLengths
from niyama_eval.traces import Trace, read_trace

__all__ = ["FigureSource", "FileSource", "Source", "Stretch", "load_source"]


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Requests before anything was promised to them.

    Attributes:
        arrivals: seconds since the start of the stretch, never falling.
        sizes: tokens of each.
        origins: which source each is from, counted from 0.
    """

    arrivals: Times
    sizes: Sizes
    origins: Counts

    @classmethod
    def merged(cls, parts: Sequence["Stretch"]) -> "Stretch":
        """Return the requests of several sources in the order of arrival, with their origins by place in `parts`."""
        arrivals = np.concatenate([part.arrivals for part in parts])
        order = np.argsort(arrivals, kind="stable")
        sizes = Sizes(
            np.concatenate([part.sizes.num_prompt_tokens for part in parts])[order],
            np.concatenate([part.sizes.num_output_tokens for part in parts])[order],
        )
        origins = np.repeat(np.arange(len(parts)), [len(part.arrivals) for part in parts])
        return cls(arrivals[order], sizes, origins[order])

    def at_rate(self, qps: float) -> "Stretch":
        """Return the same requests, sped up or slowed down so that their mean rate is `qps`."""
        last = float(self.arrivals[-1]) if len(self.arrivals) else 0.0
        factor = len(self.arrivals) / qps / last if last > 0 else 1.0
        return Stretch(self.arrivals * factor, self.sizes, self.origins)

    def first(self, num: int) -> "Stretch":
        """Return the first `num` requests."""
        sizes = Sizes(self.sizes.num_prompt_tokens[:num], self.sizes.num_output_tokens[:num])
        return Stretch(self.arrivals[:num], sizes, self.origins[:num])


class Source(Protocol):
    """Something that requests come from."""

    @property
    def name(self) -> str:
        """The application that its requests are counted as."""
        ...

    @property
    def period(self) -> float | None:
        """Seconds after which its own arrivals begin again; None for a source that has no times."""
        ...

    @property
    def rate(self) -> float | None:
        """Mean requests per second of its own arrivals; None for a source that has no times."""
        ...

    def sizes(self, num: int, rng: np.random.Generator) -> Sizes:
        """Return sizes for `num` requests."""
        ...

    def replay(self, until: Until, *, start: float, rng: np.random.Generator) -> Stretch:
        """Return its own arrivals from `start` seconds into them, for a source that has times."""
        ...


@dataclass(frozen=True, slots=True)
class FigureSource:
    """Requests drawn from shipped figures; what is replayed is a Poisson process at the rates of the curve."""

    figures: WorkloadFigures

    @property
    def name(self) -> str:
        """The workload's name."""
        return self.figures.name

    @property
    def period(self) -> float | None:
        """Seconds of the shipped curve."""
        return self.figures.rates.period if self.figures.rates else None

    @property
    def rate(self) -> float | None:
        """Mean requests per second of the shipped curve."""
        return self.figures.rates.mean if self.figures.rates else None

    def sizes(self, num: int, rng: np.random.Generator) -> Sizes:
        """Return sizes drawn from the quantile tables."""
        return self.figures.lengths.draw(num, rng)

    def replay(self, until: Until, *, start: float, rng: np.random.Generator) -> Stretch:
        """Return random arrivals at the rates of the curve, with sizes drawn apart."""
        if self.figures.rates is None:
            raise _without_times(self.name)
        arrivals_rng, sizes_rng = rng.spawn(2)
        arrivals = draw_arrivals(self.figures.rates, until, rng=arrivals_rng, start=start)
        return Stretch(arrivals, self.sizes(len(arrivals), sizes_rng), np.zeros(len(arrivals), np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class FileSource:
    """Requests of a trace file; what is replayed is its very rows."""

    trace: Trace

    @property
    def name(self) -> str:
        """The file's name without its endings."""
        return self.trace.name

    @property
    def period(self) -> float | None:
        """Seconds from the first row to its return: the length of the trace and one mean gap."""
        if self.trace.arrivals is None:
            return None
        num_gaps = max(len(self.trace) - 1, 1)
        length = float(self.trace.arrivals[-1])
        # Rows that all come at once have no gap to repeat: a second is as good as any.
        return length * (1 + 1 / num_gaps) if length > 0 else 1.0

    @property
    def rate(self) -> float | None:
        """Mean requests per second of the trace."""
        return len(self.trace) / self.period if self.period else None

    def sizes(self, num: int, rng: np.random.Generator) -> Sizes:
        """Return the sizes of its rows in random order."""
        return TraceLengths(self.trace).draw(num, rng)

    def replay(self, until: Until, *, start: float, rng: np.random.Generator) -> Stretch:
        """Return its rows at their times; nothing is drawn."""
        times, period = self.trace.arrivals, self.period
        if times is None or period is None:
            raise _without_times(self.name)
        first = int(np.searchsorted(times, start))
        num_rounds = 1 + (
            (until.num or 0) // len(times) + 1 if until.seconds is None else int((start + until.seconds) / period)
        )
        rows = np.arange(first, num_rounds * len(times))
        arrivals = until.cut(times[rows % len(times)] + period * (rows // len(times)) - start)
        sizes = TraceLengths(self.trace).rows(rows[: len(arrivals)] % len(times))
        return Stretch(arrivals, sizes, np.zeros(len(arrivals), np.int64))


def load_source(name: str) -> Source:
    """Return the source that `name` stands for: one of the shipped workloads, or the path of a trace file.

    Raises:
        WorkloadError: `name` is neither.
        TraceError: the file cannot be read.
    """
    if name in WORKLOADS:
        return FigureSource(load_figures(name))
    # An empty name would be the folder that one is in.
    if not name.strip() or not Path(name).exists():
        known = ", ".join(WORKLOADS)
        raise WorkloadError(
            "workload", f"{name!r} is neither a workload nor a file", fix=f"choose {known}, or name a trace file"
        )
    return FileSource(read_trace(name))


def _without_times(name: str) -> WorkloadError:
    return WorkloadError(
        "arrivals", f"{name!r} has no times to replay", fix="choose poisson or diurnal arrivals, or an Azure trace"
    )
