"""The page that leads to the tables: what they say in short, and what of them is missing or old."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.results.page import MISSING, OLD, WRITERS, rows, wrapped
from bench.results.runs import RunTable
from bench.results.searches import SearchTable
from bench.results.setting import TITLES
from bench.results.store import Store
from bench.results.table import Table

__all__ = ["overview"]

_LEAD = """# Results

The published results computed again by the policies that production runs, and ours beside them, without a GPU: `make
results`. Every page names its setting; [goodput.md](../goodput.md) has the rules, [limits.md](../limits.md) what no
policy can exceed, [ideas.md](ideas.md) what was tried and what breaks first. Iterations carry 5 % of seeded noise, no
policy knows how long an answer will be, and runs are as long as the published ones."""

Opened = Mapping[str, tuple[Table, Store]]
"""Tables with their figures, by name."""


def overview(opened: Opened, folder: Path) -> str:
    """Return the page; the tables' own pages lie in `folder`."""
    short = rows(["", "published", "`qoserve`, as published", "`niyama`"], list(_in_short(opened)))
    pages = rows(["page", "figures that are missing", "figures that are old"], list(_pages(opened, folder)))
    return f"{wrapped(_LEAD)}\n\n## In short\n\n{short}\n\n## Pages\n\n{pages}\n"


def _pages(opened: Opened, folder: Path) -> Iterator[Sequence[str]]:
    for name in opened:
        page = (folder / f"{name}.md").read_text(encoding="utf-8")
        title, *lines = page.splitlines()
        cells = [cell for line in lines if line.startswith("|") for cell in line.split("|")]
        missing, old = sum(MISSING in cell for cell in cells), sum(OLD in cell for cell in cells)
        yield [f"[{title.removeprefix('# ')}]({name}.md)", str(missing or "–"), str(old or "–")]


def _in_short(opened: Opened) -> Iterator[Sequence[str]]:
    table, store = opened["goodput"]
    assert isinstance(table, SearchTable)
    for title in TITLES.values():
        lines = {line.labels[1]: line for line in table.lines if line.labels[0] == title}
        for rule in table.rules:
            found = [table.goodput(store, lines[f"`{policy}`"], rule) for policy in ("qoserve", "niyama")]
            paper = f"{lines['`qoserve`'].published:g}" if rule == "published" else "–"
            cells = (MISSING if qps is None else f"{qps:.2f}" for qps in found)
            yield [f"{title}, requests a second of one replica, {rule} rule", paper, *cells]
    yield _of_runs(
        opened["overload"],
        "Azure Code at 6 a second, violations",
        paper="16 %",
        labels=(("`qoserve`", "6"), ("`niyama`", "6")),
        figure="violations, all",
    )
    yield _of_runs(
        opened["overload"],
        "the same, late tokens of whoever was not relegated",
        labels=(("`qoserve`", "6"), ("`niyama`", "6")),
        figure="late_tokens, worst class",
    )
    for what, paper in (("all", "8.6 %"), ("important", "0 %")):
        yield _of_runs(
            opened["diurnal"],
            f"Diurnal load, violations of {what}",
            paper=paper,
            labels=(("`qoserve`",), ("`niyama`",)),
            figure=f"violations, {what}",
        )
    for gpus, paper in (("10", "0 %"), ("9", "–")):
        yield _of_runs(
            opened["cluster"],
            f"35 requests of Azure Code a second on {gpus} GPUs, violations of the worst class",
            paper=paper,
            labels=((gpus, "`qoserve`, in turn"), (gpus, "`niyama`, placement `niyama`")),
            figure="violations, worst class",
        )


def _of_runs(
    opened: tuple[Table, Store], title: str, *, labels: Sequence[tuple[str, ...]], figure: str, paper: str = "–"
) -> Sequence[str]:
    table, store = opened
    assert isinstance(table, RunTable)
    cells = []
    for wanted in labels:
        run = next(run for run in table.runs if run.labels == wanted)
        values, _ = table.values(store, run, figure)
        cells.append(WRITERS["share"](sum(values) / len(values)) if values else MISSING)
    return [title, paper, *cells]
