"""The words and numbers of a page: rows of Markdown, figures with their intervals, and marks of what is old."""

import textwrap
from collections.abc import Sequence
from functools import partial

from niyama_eval.goodput_search import Interval

__all__ = [
    "LEGEND",
    "MISSING",
    "OLD",
    "WRITERS",
    "deviation",
    "interval",
    "rows",
    "seconds",
    "seeds_word",
    "share",
    "wrapped",
]

MISSING = "*missing*"
OLD = " †"
LEGEND = (
    "In brackets the 95 % confidence interval of Student's t over the seeds, which is wide where they are few. "
    "*missing* has not been computed; † was computed with other settings or by policies that decided otherwise, "
    "and waits to be computed again."
)


def wrapped(text: str) -> str:
    """Return paragraphs with lines of at most 120 characters."""
    fill = partial(textwrap.fill, width=120, break_long_words=False, break_on_hyphens=False)
    return "\n\n".join(map(fill, text.split("\n\n")))


def rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body))


def share(value: float) -> str:
    """Return a share in per cent, with as many places as tell it from the next."""
    percent = 100 * value
    if percent == 0.0:
        return "0 %"
    return (
        f"{percent:.1f} %" if abs(percent) >= 10 else f"{percent:.2f} %" if abs(percent) >= 0.1 else f"{percent:.3f} %"
    )


def seconds(value: float) -> str:
    """Return seconds, with as many places as tell them from the next."""
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s" if value < 100 else f"{value:,.0f} s"


def number(value: float) -> str:
    """Return a rate or another number."""
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


WRITERS = {"share": share, "seconds": seconds, "number": number}


def interval(values: Sequence[float], *, unit: str) -> str:
    """Return the mean of a figure over the seeds with its confidence interval, if there are several."""
    write = WRITERS[unit]
    found = Interval.of(list(values))
    if found.ci is None:
        return write(found.mean)
    low, high = found.ci
    return f"{write(found.mean)} [{write(low)}, {write(high)}]"


def seeds_word(num: int) -> str:
    """Return how many seeds there are, in words."""
    return "1 seed" if num == 1 else f"{num} seeds"


def deviation(ours: float, published: float) -> str:
    """Return how far ours is from the published figure."""
    return f"{100 * (ours / published - 1):+.1f} %"
