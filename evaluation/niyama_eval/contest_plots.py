"""Pictures of sweeps and comparisons: each contender as the rate grows, and what differs beyond chance."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from niyama_core.slo import QosClasses, promised_seconds

from niyama_eval.contrast import Contrast
from niyama_eval.plot_look import INK, blank_figure, looks, plain_words, put_head, scale_shares
from niyama_eval.sweep import SweepPoint

__all__ = ["Curves", "difference_plot", "late_tokens_plot", "latency_plot", "violations_plot"]

Curves = Mapping[str, Sequence[SweepPoint]]
"""The points of each contender, by its name, at rising rates."""

_PANELS = ("all", "important", "short prompts", "long prompts")
_RATE = "requests per second"


def violations_plot(curves: Curves, *, limit: float, source: str = "") -> Figure:
    """Return the violations of all, of the important, of short and of long prompts, a panel each."""
    figure, panels = blank_figure(source, size=(14.0, 4.2), num_columns=len(_PANELS))
    for axes, group in zip(panels, _PANELS, strict=True):
        _draw(axes, curves, measure="violations", group=group)
        axes.axhline(limit, color=INK, linewidth=0.8, linestyle=":", label=f"{100 * limit:.3g} %")
        scale_shares(axes, limit)
        axes.set_xlabel(_RATE)
        axes.set_title(group, fontsize=10, loc="left")
    panels[0].set_ylabel("requests that miss their promise")
    put_head(figure, panels[0], title="Violations against the rate")
    return figure


def late_tokens_plot(curves: Curves, classes: QosClasses, *, limit: float, source: str = "") -> Figure:
    """Return the late tokens of each class that has token deadlines, a panel each."""
    groups = [
        f"class {one.name}" for one in classes if _has(curves, measure="late_tokens", group=f"class {one.name}")
    ] or [""]
    figure, panels = blank_figure(source, size=(max(5.6, 3.6 * len(groups) + 0.6), 4.2), num_columns=len(groups))
    for axes, group in zip(panels, groups, strict=True):
        _draw(axes, curves, measure="late_tokens", group=group)
        axes.axhline(limit, color=INK, linewidth=0.8, linestyle=":", label=f"{100 * limit:.3g} %")
        scale_shares(axes, limit)
        axes.set_xlabel(_RATE)
        axes.set_title(plain_words(group), fontsize=10, loc="left")
    panels[0].set_ylabel("tokens after they were due")
    put_head(figure, panels[0], title="Late tokens against the rate")
    return figure


def latency_plot(curves: Curves, classes: QosClasses, *, source: str = "") -> Figure:
    """Return median and p99 of the time that each class was promised, with the promise marked."""
    names = [one.name for one in classes]
    size = (max(5.6, 3.6 * len(names) + 0.6), 6.4)
    figure, panels = blank_figure(source, size=size, num_rows=2, num_columns=len(names), share_y=False)
    for row, (measure, label) in enumerate((("p50_s", "median"), ("p99_s", "p99"))):
        for axes, name in zip(panels[row * len(names) :], names, strict=False):
            _draw(axes, curves, measure=measure, group=f"class {name}")
            promised = promised_seconds(classes.by_name[name].slo)
            axes.axhline(promised, color=INK, linewidth=0.8, linestyle=":", label="promise")
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.yaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
            axes.set_title(plain_words(f"{label}, {name}"), fontsize=10, loc="left")
        panels[row * len(names)].set_ylabel("TTFT or TTLT (s)")
    for axes in panels[len(names) :]:
        axes.set_xlabel(_RATE)
    put_head(figure, panels[0], title="The promised time against the rate")
    return figure


def difference_plot(differences: Mapping[str, Sequence[Contrast]], *, first: str, source: str = "") -> Figure:
    """Return how the violations of each contender differ from those of the first, with their 95 % intervals."""
    shown = {name: [one for one in some if one.measure == "violations"] for name, some in differences.items()}
    groups = list(dict.fromkeys(one.group for some in shown.values() for one in some))
    figure, (axes,) = blank_figure(source, size=(8.0, 1.8 + 0.3 * len(groups) * max(len(shown), 1)))
    for number, ((name, some), (colour, _)) in enumerate(zip(shown.items(), looks(), strict=False)):
        offset = (number - (len(shown) - 1) / 2) * 0.7 / max(len(shown), 1)
        means = np.array([100 * one.difference.mean for one in some])
        reach = [100 * ((one.difference.high or one.difference.mean) - one.difference.mean) for one in some]
        places = [groups.index(one.group) + offset for one in some]
        axes.errorbar(means, places, xerr=reach, fmt="o", color=colour, markersize=4, label=plain_words(name))
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(groups)), [plain_words(group) for group in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlabel("change of violations (percentage points; less is better)")
    put_head(figure, axes, title=f"Compared with {first}")
    return figure


def _draw(axes: Axes, curves: Curves, *, measure: str, group: str) -> None:
    """Draw a figure of every contender against the rate, with its interval as a band."""
    for (name, points), (colour, line) in zip(curves.items(), looks(), strict=False):
        found = [(point.qps, interval) for point in points if (interval := point.interval(measure, group)) is not None]
        rates = [qps for qps, _ in found]
        means = [interval.mean for _, interval in found]
        axes.plot(rates, means, color=colour, linestyle=line, marker="o", markersize=4, label=plain_words(name))
        if any(interval.ci for _, interval in found):
            low, high = zip(*((interval.ci or (interval.mean,) * 2) for _, interval in found), strict=True)
            axes.fill_between(rates, low, high, color=colour, alpha=0.15, linewidth=0)


def _has(curves: Curves, *, measure: str, group: str) -> bool:
    return any(point.interval(measure, group) is not None for points in curves.values() for point in points)
