"""Pictures for planning: what traffic looks like, and how violations fall as replicas are added."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from niyama_core.units import format_duration

from niyama_eval.assessment import Assessment, rate_curve
from niyama_eval.plot_look import INK, blank_figure, looks, plain_words, put_head
from niyama_eval.traces import Trace

__all__ = ["Curve", "capacity_plot", "traffic_plot"]

Curve = Sequence[tuple[int, Mapping[str, float]]]
"""Numbers of replicas, and the violations of each class with so many."""

_NUM_BINS = 120


def traffic_plot(trace: Trace, facts: Assessment, *, source: str = "") -> Figure:
    """Return rates over time, lengths, and burstiness by window; only lengths of traffic without times."""
    figure, panels = blank_figure(
        source, size=(13.0 if facts.rates else 5.6, 4.0), num_columns=3 if facts.rates else 1, share_y=False
    )
    _draw_lengths(panels[-1], trace)
    if facts.rates and trace.arrivals is not None:
        edges, rates = rate_curve(trace.arrivals, num_bins=_NUM_BINS)
        panels[0].stairs(rates, edges, fill=True, color="#BBBBBB")
        panels[0].axhline(facts.rates.mean_qps, color=_look(0)[0], linewidth=1.4, label="mean rate")
        panels[0].set_xlabel(f"time (s); bins of {format_duration(float(edges[1] - edges[0]))}")
        panels[0].set_ylabel("arrivals (requests/s)")
        _draw_dispersion(panels[1], facts.rates.dispersion)
    put_head(figure, *panels, title=f"{facts.name}: {facts.num_requests:,} requests")
    return figure


def capacity_plot(
    curves: Mapping[str, Curve], *, limit: float, class_names: Iterable[str] = (), source: str = ""
) -> Figure:
    """Return the violations of each class, a panel each, against the number of replicas, a curve a way to serve.

    `class_names` come first, in their order; classes that are not among them follow.
    """
    found = [name for curve in curves.values() for _, shares in curve for name in shares]
    names = list(dict.fromkeys([*(name for name in class_names if name in found), *found]))
    figure, panels = blank_figure(source, size=(max(5.6, 3.6 * len(names) + 0.6), 4.2), num_columns=max(len(names), 1))
    for axes, name in zip(panels, names, strict=False):
        for (fleet, curve), (colour, line) in zip(curves.items(), looks(), strict=False):
            points = [(num, shares[name]) for num, shares in curve if name in shares]
            xs, ys = [num for num, _ in points], [share for _, share in points]
            axes.plot(xs, ys, color=colour, linestyle=line, marker="o", markersize=4, label=plain_words(fleet))
        axes.axhline(limit, color=INK, linewidth=0.8, linestyle=":", label=f"promise: {100 * limit:.3g} %")
        # Linear up to the promise, so that none is shown too; logarithmic above it, where it may be all.
        axes.set_yscale("symlog", linthresh=limit)
        axes.set_ylim(-limit / 10, 1.2)
        axes.set_yticks([0.0, limit, 0.1, 1.0] if limit < 0.1 else [0.0, limit, 1.0])
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("replicas")
        axes.set_title(plain_words(name), fontsize=10, loc="left")
    panels[0].set_ylabel("requests that miss their promise")
    put_head(figure, panels[0], title="Violations against the number of replicas")
    return figure


def _draw_lengths(axes: Axes, trace: Trace) -> None:
    """Draw the cumulative shares of prompts and answers by length."""
    for place, label, tokens in ((1, "prompts", trace.num_prompt_tokens), (2, "answers", trace.num_output_tokens)):
        colour, line = _look(place)
        ordered = np.sort(np.maximum(tokens, 1))
        shares = np.arange(1, len(ordered) + 1) / len(ordered)
        axes.step(ordered, shares, where="post", color=colour, linestyle=line, linewidth=1.8, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tokens, _: f"{tokens:,.0f}"))
    axes.set_xlabel("length (tokens)")
    axes.set_ylabel("share of requests")
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def _draw_dispersion(axes: Axes, dispersion: Mapping[float, float]) -> None:
    colour, line = _look(3)
    axes.plot(list(dispersion), list(dispersion.values()), color=colour, linestyle=line, marker="o", label="burstiness")
    axes.axhline(1.0, color=INK, linewidth=0.8, linestyle=":", label="Poisson arrivals")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
    axes.set_xlabel("window (s)")
    axes.set_ylabel("variance of counts over their mean")


def _look(place: int) -> tuple[str, Any]:
    return next(islice(looks(), place, None))
