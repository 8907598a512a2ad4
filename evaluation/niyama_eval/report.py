"""A run as one HTML page that can be mailed: tables, plots and settings inside, nothing fetched from anywhere.

Beside `report.html` lie the same plots as PNG and the same figures as `results.json`. Whatever came from a user (names
of classes, paths, commands) is escaped.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources
from os import PathLike
from pathlib import Path

from niyama_eval import plots
from niyama_eval.plots import Runs
from niyama_eval.results import PolicyResult, slos_of, summarise, write_results
from niyama_eval.tables import Cell, Comparison, Grade, comparison, format_share

__all__ = ["About", "Plot", "render_report", "write_report"]

_GLOSSARY: Mapping[str, str] = {
    "on time": "The request completed, and kept its promise by the published rule: first token within the TTFT of an "
    "interactive class, whole answer within the TTLT of a batch class. Rejected, failed and lost requests are not on "
    "time.",
    "late tokens": "Tokens that the engine emitted after they were due. Token n of an interactive answer is due "
    "(n - 1) gaps after the first token was promised, or came if that was later. Requests that were relegated before "
    "their first token are counted apart; tokens of those relegated later count like any other.",
    "relegated": "Put behind all requests that could still be on time, and served when there was room. Nothing that "
    "was accepted is dropped.",
    "lost": "Accepted, and neither completed nor ended with an error.",
    "TTFT, TTLT": "Seconds from arrival to the first and to the last token. Percentiles are linear between the two "
    "nearest values.",
    "largest gap": "The longest pause between two tokens of one answer; p99 over the answers of a class.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a reader must know to believe a report.

    Attributes:
        title: what was done, in a few words.
        lead: a sentence or two on what was compared, and how.
        settings: all that the figures depend on; written to `results.json` too.
        reproduce: the command that makes the report again.
        source: origin of the traffic, below every plot.
    """

    title: str
    lead: str
    settings: Mapping[str, object]
    reproduce: str
    source: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture and what it says, for those who see it and for those who do not."""

    name: str
    caption: str
    png: bytes


def write_report(
    directory: str | PathLike[str], runs: Runs, *, about: About, class_names: Iterable[str] = ()
) -> Mapping[str, PolicyResult]:
    """Write `report.html`, its plots as PNG and `results.json` into `directory`, and return the results.

    `class_names` fixes the order of the classes.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    names = tuple(class_names)
    results = {policy: summarise(outcomes, class_names=names) for policy, outcomes in runs.items()}
    pictures = _pictures(runs, results, class_names=names, source=about.source)
    for picture in pictures:
        (folder / f"{picture.name}.png").write_bytes(picture.png)
    write_results(folder / "results.json", results, settings=about.settings)
    slos = slos_of(outcome for outcomes in runs.values() for outcome in outcomes)
    page = render_report(results, comparison(results, slos=slos), about=about, pictures=pictures)
    (folder / "report.html").write_text(page, encoding="utf-8")
    return results


def render_report(
    results: Mapping[str, PolicyResult], sides: Comparison, *, about: About, pictures: Iterable[Plot]
) -> str:
    """Return the page."""
    body = (
        f"<h1>{escape(about.title)}</h1>",
        f"<p>{escape(about.lead)}</p>",
        _tiles(results),
        "<h2>Side by side</h2>",
        _comparison(sides),
        "<h2>Plots</h2>",
        *map(_picture, pictures),
        "<h2>Settings</h2>",
        _settings(about.settings),
        "<h2>To make it again</h2>",
        f"<pre><code>{escape(about.reproduce)}</code></pre>",
        "<h2>What the words mean</h2>",
        _glossary(),
        _footer(about.source),
    )
    return _page(about.title, "\n".join(body))


def _pictures(
    runs: Runs, results: Mapping[str, PolicyResult], *, class_names: tuple[str, ...], source: str
) -> list[Plot]:
    return [
        Plot(
            "attainment",
            "Share of requests on time: by class, by importance, and of all.",
            plots.png(plots.attainment_plot(results, source=source)),
        ),
        Plot(
            "ttft",
            "Distribution of TTFT by class; a curve that ends below 100 % leaves out requests without a first token.",
            plots.png(plots.ttft_plot(runs, class_names=class_names, source=source)),
        ),
        Plot(
            "ttlt",
            "Distribution of TTLT by class; a curve that ends below 100 % leaves out requests that did not complete.",
            plots.png(plots.ttlt_plot(runs, class_names=class_names, source=source)),
        ),
        Plot(
            "timeline",
            "Load over time, and how many of the requests that arrived then were relegated or missed their promise.",
            plots.png(plots.timeline_plot(runs, source=source)),
        ),
    ]


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


@cache
def _style() -> str:
    return resources.files("niyama_eval").joinpath("report.css").read_text(encoding="utf-8")


def _tiles(results: Mapping[str, PolicyResult]) -> str:
    """Return the one figure of each policy that a hurried reader takes away."""
    tiles = (
        f'<div class="tile"><b>{escape(policy)}</b><strong class="{_css(Grade.of(result.important_on_time))}">'
        f"{format_share(result.important_on_time)}</strong>"
        f"of important requests on time; {format_share(result.on_time)} of all, {result.num_lost} lost</div>"
        for policy, result in results.items()
    )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _comparison(sides: Comparison) -> str:
    head = "".join(f'<th scope="col">{escape(policy)}</th>' for policy in sides.policies)
    rows: list[str] = []
    for section in sides.sections:
        width = len(sides.policies) + 1
        rows.append(f'<tr><th scope="rowgroup" colspan="{width}">{escape(section.title)}</th></tr>')
        rows += [f"<tr><td>{escape(row.label)}</td>{''.join(map(_cell, row.cells))}</tr>" for row in section.rows]
    body = "\n".join(rows)
    table = f"<table>\n<thead><tr><th></th>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return f'<div class="scroll">{table}</div>'


def _cell(cell: Cell) -> str:
    style = f' class="{_css(cell.grade)}"' if cell.grade else ""
    return f"<td{style}>{escape(cell.text)}</td>"


def _css(grade: Grade | None) -> str:
    return grade.name.lower() if grade else ""


def _picture(plot: Plot) -> str:
    data = base64.b64encode(plot.png).decode("ascii")
    caption = escape(plot.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def _settings(settings: Mapping[str, object]) -> str:
    rows = "\n".join(
        f"<tr><td>{escape(name)}</td><td>{escape(_plain(value))}</td></tr>" for name, value in settings.items()
    )
    return f'<table class="settings"><tbody>\n{rows}\n</tbody></table>'


def _plain(value: object) -> str:
    """Return a setting as text; what is nested, as JSON."""
    return json.dumps(value, default=str) if isinstance(value, (Mapping, list, tuple)) else str(value)


def _glossary() -> str:
    entries = (f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in _GLOSSARY.items())
    return f"<dl>{''.join(entries)}</dl>"


def _footer(source: str) -> str:
    figures = "All figures are in <code>results.json</code> beside this page."
    return f"<footer>Traffic: {escape(source)}. {figures}</footer>"
