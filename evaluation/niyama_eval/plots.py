"""Results as pictures; the only door to matplotlib.

Every plot has a title that says what is good, axes with units, and a line on where its figures come from. A policy has
the same colour and line in all plots of a report, told apart also without colour. Nothing touches pyplot, so there is
no state between plots and no display is needed.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from niyama_core.slo import Batch, Interactive, Slo
from niyama_core.units import format_duration
from numpy.typing import NDArray

from niyama_eval.outcomes import Relegation, RequestOutcome
from niyama_eval.plot_look import GRID, INK, blank_figure, looks, plain_words, put_head
from niyama_eval.results import PolicyResult, slos_of

__all__ = [
    "Labels",
    "Runs",
    "attainment_plot",
    "line_plot",
    "png",
    "save_png",
    "timeline_plot",
    "ttft_plot",
    "ttlt_plot",
]

Runs = Mapping[str, Sequence[RequestOutcome]]
"""The outcomes of each policy, by its name."""

_NUM_BINS = 60
# Words on top of lines stay readable.
_PLATE: Mapping[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8}


@dataclass(frozen=True, slots=True)
class Labels:
    """The words on a plot."""

    title: str
    x: str
    y: str
    source: str = ""


def attainment_plot(results: Mapping[str, PolicyResult], *, source: str = "") -> Figure:
    """Return the share of requests on time by class, by importance and overall, a bar a policy."""
    class_names = dict.fromkeys(name for result in results.values() for name in result.by_class)
    groups = [*class_names, "important", "low importance", "all"]
    num_bars = len(groups) * len(results)
    figure, (axes,) = blank_figure(source, size=(max(9.0, 2.0 + 0.3 * num_bars), 4.4))
    places = np.arange(len(groups), dtype=np.float64)
    width = 0.8 / max(len(results), 1)
    for number, ((policy, result), (colour, _)) in enumerate(zip(results.items(), looks(), strict=False)):
        shares = [_share(result, group) for group in groups]
        offset = (number - (len(results) - 1) / 2) * width
        bars = axes.bar(
            places + offset, [share or 0.0 for share in shares], width * 0.92, color=colour, label=plain_words(policy)
        )
        texts = ["–" if share is None else f"{100 * share:.3g}" for share in shares]
        axes.bar_label(
            bars, texts, padding=2, fontsize=8, color=INK, bbox=dict(_PLATE), rotation=90 if len(results) > 3 else 0
        )
    axes.axhline(0.99, color=INK, linewidth=0.8, linestyle=":", label="99 %")
    axes.grid(visible=False, axis="x")
    axes.axvline(len(class_names) - 0.5, color=GRID, linewidth=1)
    axes.set_xticks(places, [plain_words(group) for group in groups])
    axes.set_ylim(0, 1.18)
    axes.set_yticks(np.arange(0, 1.01, 0.2))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("requests on time")
    put_head(figure, axes, title="Requests that kept their promise")
    return figure


def ttft_plot(runs: Runs, *, class_names: Iterable[str] = (), source: str = "") -> Figure:
    """Return the distribution of TTFT by class and policy, with the promise of interactive classes marked.

    `class_names` come first, in their order; classes that are not among them follow.
    """
    return _distributions(runs, _TTFT, class_names=class_names, source=source)


def ttlt_plot(runs: Runs, *, class_names: Iterable[str] = (), source: str = "") -> Figure:
    """Return the distribution of TTLT by class and policy, with the promise of batch classes marked.

    `class_names` come first, in their order; classes that are not among them follow.
    """
    return _distributions(runs, _TTLT, class_names=class_names, source=source)


def timeline_plot(runs: Runs, *, source: str = "") -> Figure:
    """Return the load over time, and which of the requests that arrived then were relegated or missed.

    A request counts at its arrival, so the panels speak of the same requests. What befell none of them has no panel.
    """
    end = max((outcome.arrival for outcomes in runs.values() for outcome in outcomes), default=1.0) or 1.0
    edges = np.linspace(0.0, end, _NUM_BINS + 1)
    fates = {
        label: belongs for label, belongs in _FATES.items() if any(map(belongs, chain.from_iterable(runs.values())))
    }
    figure, panels = blank_figure(source, size=(9.0, 2.2 + 2.1 * len(fates)), num_rows=1 + len(fates))
    arrivals = _count(next(iter(runs.values()), ()), edges, belongs=lambda _: True)
    panels[0].stairs(arrivals / (edges[1] - edges[0]), edges, fill=True, color="#BBBBBB")
    panels[0].set_ylabel("arrivals\n(requests/s)")
    for panel, label, belongs in zip(panels[1:], fates, fates.values(), strict=True):
        for (policy, outcomes), (colour, line) in zip(runs.items(), looks(), strict=False):
            counts = _count(outcomes, edges, belongs=belongs)
            panel.stairs(
                counts, edges, color=colour, linestyle=line, linewidth=1.6, label=plain_words(policy), baseline=None
            )
        panel.set_ylabel(label)
        panel.set_ylim(0, max(1.0, panel.get_ylim()[1]))
        panel.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    panels[-1].set_xlabel(f"time of arrival (s); bins of {edges[1]:.3g} s")
    for panel in panels:
        panel.set_xlim(0, end)
    put_head(figure, panels[-1], title="Load, and what became of it")
    return figure


def line_plot(
    curves: Mapping[str, Sequence[tuple[float, float]]], labels: Labels, *, limit: float | None = None
) -> Figure:
    """Return curves of points (x, y), for example violations against load; `limit` marks what y must not exceed."""
    figure, (axes,) = blank_figure(labels.source, size=(8.0, 4.4))
    for (name, points), (colour, line) in zip(curves.items(), looks(), strict=False):
        xs, ys = [x for x, _ in points], [y for _, y in points]
        axes.plot(xs, ys, color=colour, linestyle=line, marker="o", markersize=4, label=plain_words(name))
    if limit is not None:
        axes.axhline(limit, color=INK, linewidth=0.8, linestyle=":", label=f"limit {limit:g}")
    axes.set_xlabel(plain_words(labels.x))
    axes.set_ylabel(plain_words(labels.y))
    put_head(figure, axes, title=labels.title)
    return figure


def png(figure: Figure) -> bytes:
    """Return a plot as a PNG; the same figures give the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def save_png(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a plot to a file."""
    Path(path).write_bytes(png(figure))


@dataclass(frozen=True, slots=True)
class _Latency:
    """A time of a request, and what was promised of it."""

    title: str
    axis: str
    of: Callable[[RequestOutcome], float | None]
    promised: Callable[[Slo], float | None]


_TTFT = _Latency(
    "Time to the first token",
    "TTFT (s)",
    lambda outcome: outcome.ttft,
    lambda slo: slo.ttft if isinstance(slo, Interactive) else None,
)
_TTLT = _Latency(
    "Time to the last token",
    "TTLT (s)",
    lambda outcome: outcome.ttlt,
    lambda slo: slo.ttlt if isinstance(slo, Batch) else None,
)
_FATES: Mapping[str, Callable[[RequestOutcome], bool]] = {
    "relegated\n(requests)": lambda outcome: outcome.relegation is not Relegation.NONE,
    "missed\n(requests)": lambda outcome: not outcome.is_on_time,
}


def _distributions(runs: Runs, latency: _Latency, *, class_names: Iterable[str], source: str) -> Figure:
    """Return cumulative shares, a panel a class; a curve that ends below 1 leaves out requests without that time."""
    slos = slos_of(outcome for outcomes in runs.values() for outcome in outcomes)
    found = [outcome.qos_class for outcomes in runs.values() for outcome in outcomes]
    names = list(dict.fromkeys([*(name for name in class_names if name in found), *found])) or [""]
    figure, panels = blank_figure(source, size=(max(5.6, 3.4 * len(names) + 0.6), 4.0), num_columns=len(names))
    for axes, name in zip(panels, names, strict=True):
        for (policy, outcomes), (colour, line) in zip(runs.items(), looks(), strict=False):
            mine = [outcome for outcome in outcomes if outcome.qos_class == name]
            times = np.sort([time for time in map(latency.of, mine) if time is not None])
            shares = np.arange(1, len(times) + 1) / max(len(mine), 1)
            axes.step(
                times, shares, where="post", color=colour, linestyle=line, linewidth=1.8, label=plain_words(policy)
            )
        promised = latency.promised(slos[name]) if name in slos else None
        if promised is not None:
            _mark(axes, promised)
        _log_seconds(axes, latency.axis)
        axes.set_title(plain_words(name), fontsize=10, loc="left")
    panels[0].set_ylabel("share of requests")
    put_head(figure, panels[0], title=latency.title)
    return figure


def _mark(axes: Axes, promised: float) -> None:
    axes.axvline(promised, color=INK, linewidth=0.9, linestyle=":")
    axes.annotate(
        f"promised {format_duration(promised)}",
        (promised, 0.02),
        xytext=(-3, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="bottom",
        fontsize=8,
        color=INK,
        bbox=dict(_PLATE),
    )


def _log_seconds(axes: Axes, label: str) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
    axes.set_xlabel(label)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def _share(result: PolicyResult, group: str) -> float | None:
    """Return what a group of bars shows; a class that is called `all` is shown as the class."""
    if group in result.by_class:
        return result.by_class[group].on_time
    overall = {
        "important": result.important_on_time,
        "low importance": result.low_importance_on_time,
        "all": result.on_time,
    }
    return overall.get(group)


def _count(
    outcomes: Sequence[RequestOutcome], edges: NDArray[np.float64], *, belongs: Callable[[RequestOutcome], bool]
) -> NDArray[np.int64]:
    return np.histogram([outcome.arrival for outcome in outcomes if belongs(outcome)], edges)[0]
