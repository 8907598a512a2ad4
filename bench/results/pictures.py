"""The pictures of the tables."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from niyama_eval.plot_look import INK, blank_figure, looks, plain_words, put_head, scale_shares

__all__ = ["bars", "curves"]

# The violations that goodput allows.
_ALLOWED = 0.01


def bars(names: Sequence[str], series: Mapping[str, Sequence[float | None]], *, title: str, axis: str) -> Figure:
    """Return a group of bars for each name, one of each series that has a value."""
    figure, (axes,) = blank_figure("", size=(9.0, 1.6 + 0.22 * len(names) * len(series)))
    height = 0.8 / len(series)
    for number, ((label, values), (colour, _)) in enumerate(zip(series.items(), looks(), strict=False)):
        places = [place + (number - (len(series) - 1) / 2) * height for place in range(len(names))]
        there = [(place, value) for place, value in zip(places, values, strict=True) if value is not None]
        axes.barh([place for place, _ in there], [value for _, value in there], height, color=colour, label=label)
    axes.set_yticks(range(len(names)), [plain_words(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(axis)
    put_head(figure, axes, title=title)
    return figure


def curves(points: Mapping[str, Sequence[tuple[float, float]]], *, title: str, axis: str) -> Figure:
    """Return a curve of shares for each name."""
    figure, (axes,) = blank_figure("", size=(8.0, 4.4))
    for (name, some), (colour, line) in zip(points.items(), looks(), strict=False):
        xs, ys = zip(*sorted(some), strict=True)
        axes.plot(xs, ys, color=colour, linestyle=line, marker="o", markersize=4, label=plain_words(name))
    axes.axhline(_ALLOWED, color=INK, linewidth=0.8, linestyle=":", label="1 %")
    scale_shares(axes, _ALLOWED)
    axes.set_xlabel(axis)
    put_head(figure, axes, title=title)
    return figure
