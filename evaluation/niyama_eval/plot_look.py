"""The house's look of a plot: colours, lines, panels, and the head with title and legend.

Nothing touches pyplot, so there is no state between plots and no display is needed.
"""

from collections.abc import Iterator
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

__all__ = ["FAINT", "GRID", "INK", "blank_figure", "looks", "plain_words", "put_head", "scale_shares"]

# Okabe and Ito's palette, which people with any kind of colour vision tell apart; the order keeps neighbours apart.
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_LINES = ("-", "-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
INK, FAINT, GRID = "#222222", "#666666", "#DDDDDD"


def looks() -> Iterator[tuple[str, Any]]:
    """Yield a colour and a line for each policy, by its place."""
    return zip(cycle(_COLOURS), cycle(_LINES))


def blank_figure(
    source: str, *, size: tuple[float, float], num_rows: int = 1, num_columns: int = 1, share_y: bool = True
) -> tuple[Figure, list[Axes]]:
    """Return an empty figure in the house's look, and its panels; those of a row share y unless told otherwise."""
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    if source:
        figure.supxlabel(plain_words(source), x=0.01, ha="left", fontsize=7, color=FAINT)
    grid = figure.subplots(
        num_rows, num_columns, squeeze=False, sharex=num_rows > 1, sharey=share_y and num_columns > 1
    )
    panels = list(grid.flat)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        axes.tick_params(colors=INK, labelsize=8)
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure, panels


def plain_words(text: str) -> str:
    """Return text that matplotlib shows as it is: two dollar signs would make it a formula, which may not parse."""
    return text.replace("$", r"\$")


def put_head(figure: Figure, *panels: Axes, title: str) -> None:
    """Put the title and, below it, the legend of the panels on top of the figure, as many names a row as fit."""
    legends = [axes.get_legend_handles_labels() for axes in panels]
    handles, names = [h for handles, _ in legends for h in handles], [n for _, names in legends for n in names]
    legend = figure.legend(
        handles,
        names,
        title=plain_words(title),
        loc="outside upper left",
        alignment="left",
        ncols=max(int(figure.get_figwidth() / 1.6), 1),
        frameon=False,
        fontsize=9,
        title_fontproperties={"weight": "bold", "size": 12},
    )
    legend.get_title().set_color(INK)


def scale_shares(axes: Axes, limit: float) -> None:
    """Scale an axis of shares: linear up to a limit, so that none is shown too; logarithmic above it."""
    axes.set_yscale("symlog", linthresh=limit)
    axes.set_ylim(-limit / 10, 1.2)
    axes.set_yticks([0.0, *_decades(limit)])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))


def _decades(limit: float) -> Iterator[float]:
    tick = limit
    while tick < 1.0:
        yield tick
        tick *= 10
    yield 1.0
