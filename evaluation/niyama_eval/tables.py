"""Results as tables: policies side by side, or one run by class.

What a table says is apart from how it looks: `comparison` is plain text, which the terminal shows here and the HTML
report shows elsewhere. A dash stands for a figure that nothing can be taken from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from niyama_core.slo import Batch, Interactive, Slo
from niyama_core.units import format_duration
from rich import box
from rich.table import Table
from rich.text import Text

from niyama_eval.results import ClassResult, PolicyResult

__all__ = [
    "Cell",
    "Comparison",
    "Grade",
    "Row",
    "Section",
    "comparison",
    "comparison_table",
    "format_share",
    "promise_in_words",
    "run_table",
]

_NOTHING = "–"
_READING = (
    "on time: first token (interactive) or whole answer (batch) within its promise. late tokens: after their own "
    "deadline. Tokens that are ahead of theirs leave time, so a gap may be longer than the promised one."
)


class Grade(Enum):
    """What a share of requests on time is worth; the styles are those of the terminal."""

    GOOD = "bold green"
    """99 % and more: the promise as it is published."""
    FAIR = "yellow"
    POOR = "bold red"
    """Under 90 %."""

    @classmethod
    def of(cls, share: float | None) -> "Grade | None":
        """Return the grade of a share, None of nothing."""
        if share is None:
            return None
        return cls.GOOD if share >= 0.99 else cls.FAIR if share >= 0.9 else cls.POOR


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure as text, with a grade where it is good or bad in itself."""

    text: str
    grade: Grade | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of every policy."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Rows that belong together, under a title."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Policies side by side, in the order of the columns."""

    policies: tuple[str, ...]
    sections: tuple[Section, ...]


def comparison(results: Mapping[str, PolicyResult], *, slos: Mapping[str, Slo] | None = None) -> Comparison:
    """Return the figures of every policy, class by class; `slos` adds what each class promises."""
    class_names = dict.fromkeys(name for result in results.values() for name in result.by_class)
    sections = [_class_section(name, results, slo=(slos or {}).get(name)) for name in class_names]
    return Comparison(tuple(results), (*sections, _importance_section(results), _fate_section(results)))


def comparison_table(results: Mapping[str, PolicyResult], *, slos: Mapping[str, Slo] | None = None) -> Table:
    """Return the comparison for a terminal of 100 columns."""
    sides = comparison(results, slos=slos)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=_READING, caption_justify="left")
    table.add_column("")
    for policy in sides.policies:
        table.add_column(policy, justify="right", min_width=14)
    for section in sides.sections:
        table.add_row(Text(section.title, style="bold"))
        for row in section.rows:
            table.add_row(f"  {row.label}", *map(_rich, row.cells))
        table.add_section()
    return table


def run_table(result: PolicyResult, *, title: str | None = None) -> Table:
    """Return the figures of one run by class, for a terminal of 100 columns."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=title,
        caption=f"{_fate_in_words(result)}\n{_READING}",
        title_justify="left",
    )
    table.caption_justify = "left"
    table.add_column("class")
    for label, _ in _CLASS_FIGURES:
        table.add_column(label, justify="right")
    for name, of_class in result.by_class.items():
        table.add_row(name, *(_rich(figure(of_class)) for _, figure in _CLASS_FIGURES))
    return table


def promise_in_words(slo: Slo) -> str:
    """Return a promise as a person would put it."""
    match slo:
        case Interactive(ttft=ttft, tbt=tbt):
            return f"first token in {format_duration(ttft)}, then one every {format_duration(tbt)}"
        case Batch(ttlt=ttlt):
            return f"whole answer in {format_duration(ttlt)}"


def format_share(share: float | None) -> str:
    """Return a share as a percentage, with the digits that tell 99.9 % from 100 %."""
    if share is None:
        return _NOTHING
    percent = 100 * share
    near_an_end = 0 < percent < 1 or 99 < percent < 100
    return f"{percent:.2f} %" if near_an_end else f"{percent:.1f} %"


def _class_section(name: str, results: Mapping[str, PolicyResult], *, slo: Slo | None) -> Section:
    of_class = [result.by_class.get(name) for result in results.values()]
    rows = [
        Row(label, tuple(Cell(_NOTHING) if one is None else figure(one) for one in of_class))
        for label, figure in _CLASS_FIGURES
    ]
    return Section(name if slo is None else f"{name}: {promise_in_words(slo)}", tuple(rows))


def _importance_section(results: Mapping[str, PolicyResult]) -> Section:
    return _section(
        "on time, all classes",
        results,
        figures={
            "all": lambda result: _on_time(result.on_time),
            "important": lambda result: _on_time(result.important_on_time),
            "low importance": lambda result: _on_time(result.low_importance_on_time),
        },
    )


def _fate_section(results: Mapping[str, PolicyResult]) -> Section:
    return _section(
        "requests",
        results,
        figures={
            "sent": lambda result: Cell(f"{result.num_requests:,}"),
            "completed": lambda result: Cell(f"{result.num_completed:,}"),
            "relegated (after the first token)": lambda result: Cell(
                f"{result.num_relegated:,} ({result.num_relegated_after_first_token:,})"
            ),
            "moved to another replica": lambda result: Cell(f"{result.num_moved:,}"),
            "rejected / failed": lambda result: Cell(f"{result.num_rejected:,} / {result.num_failed:,}"),
            "lost": lambda result: Cell(f"{result.num_lost:,}", Grade.POOR if result.num_lost else None),
        },
    )


def _section(
    title: str, results: Mapping[str, PolicyResult], *, figures: Mapping[str, Callable[[PolicyResult], Cell]]
) -> Section:
    rows = (Row(label, tuple(map(figure, results.values()))) for label, figure in figures.items())
    return Section(title, tuple(rows))


def _fate_in_words(result: PolicyResult) -> str:
    return (
        f"on time {format_share(result.on_time)}: important {format_share(result.important_on_time)}, "
        f"low importance {format_share(result.low_importance_on_time)}\n"
        f"{result.num_completed:,} of {result.num_requests:,} completed, {result.num_rejected:,} rejected, "
        f"{result.num_failed:,} failed, {result.num_lost:,} lost; {result.num_relegated:,} relegated "
        f"({result.num_relegated_after_first_token:,} after the first token), {result.num_moved:,} moved"
    )


def _on_time(share: float | None) -> Cell:
    return Cell(format_share(share), Grade.of(share))


def _seconds(*values: float | None) -> Cell:
    if all(value is None for value in values):
        return Cell(_NOTHING)
    return Cell(" / ".join(_NOTHING if value is None else format_duration(value) for value in values))


_CLASS_FIGURES: tuple[tuple[str, Callable[[ClassResult], Cell]], ...] = (
    ("requests", lambda result: Cell(f"{result.num_requests:,}")),
    ("on time", lambda result: _on_time(result.on_time)),
    ("late tokens", lambda result: Cell(format_share(result.late_token_fraction))),
    ("TTFT p50 / p95", lambda result: _seconds(result.ttft_p50_s, result.ttft_p95_s)),
    ("largest gap p99", lambda result: _seconds(result.largest_gap_p99_s)),
    ("TTLT p50 / p95", lambda result: _seconds(result.ttlt_p50_s, result.ttlt_p95_s)),
)


def _rich(cell: Cell) -> Text:
    return Text(cell.text, style=cell.grade.value if cell.grade else "")
