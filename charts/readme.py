"""Writes the table of values in a chart's README from the comments of its values.yaml.

    python charts/readme.py charts/niyama            # writes the table
    python charts/readme.py charts/niyama --check    # fails when it is not what it would write

The comment directly above a key describes it. A mapping without one gives a row for each of its keys, any other value
one row with its default. Whatever stands around the table in README.md is written by hand. It is apart from the
packages because nothing that runs needs it.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

__all__ = ["Row", "UndescribedValueError", "check", "main", "rows", "table", "with_table"]

_BEGIN = "<!-- Made from values.yaml by charts/readme.py; edit the comments there. -->"
_END = "<!-- End of the table. -->"


class UndescribedValueError(Exception):
    """A value has no comment above it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One value: its path with dots, what it is for, and its default as YAML on one line."""

    path: str
    description: str
    default: str


def rows(values: str) -> list[Row]:
    """Return the rows of a values.yaml, in its order.

    Raises:
        UndescribedValueError: a value has no comment, nor has the mapping that it is part of.
    """
    return list(_rows(yaml.compose(values), values.splitlines()))


def table(found: Sequence[Row]) -> str:
    """Return the rows as a table of Markdown."""
    lines = ["| value | default | meaning |", "|---|---|---|"]
    lines += [f"| `{row.path}` | `{row.default}` | {row.description.replace('|', chr(92) + '|')} |" for row in found]
    return "\n".join(lines)


def with_table(readme: str, values: str) -> str:
    """Return the README with the table of these values between its two marks."""
    before, rest = readme.split(_BEGIN)
    _, after = rest.split(_END)
    return f"{before}{_BEGIN}\n\n{table(rows(values))}\n\n{_END}{after}"


def check(chart: Path) -> bool:
    """Return whether the README of a chart has the table of its values."""
    readme = (chart / "README.md").read_text()
    return readme == with_table(readme, (chart / "values.yaml").read_text())


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table, or with `--check` say whether it is up to date; return the exit status."""
    parser = argparse.ArgumentParser(description="Write the table of values in a chart's README.")
    parser.add_argument("chart", type=Path, help="folder of the chart")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something would change")
    options = parser.parse_args(arguments)
    if options.check:
        if check(options.chart):
            return 0
        sys.stderr.write(f"{options.chart}/README.md is not what values.yaml says; make it so: charts/readme.py\n")
        return 1
    page = options.chart / "README.md"
    page.write_text(with_table(page.read_text(), (options.chart / "values.yaml").read_text()))
    return 0


def _rows(node: yaml.Node | None, lines: Sequence[str], prefix: str = "") -> Iterator[Row]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        path, description = f"{prefix}{key.value}", _comment_above(key.start_mark.line, lines)
        parts = [] if description else list(_rows(value, lines, f"{path}."))
        if not description and not parts:
            raise UndescribedValueError(f"line {key.start_mark.line + 1}: {path} has no comment above it")
        yield from parts or [Row(path, description, _default(value))]


def _comment_above(line: int, lines: Sequence[str]) -> str:
    """Return the lines of comment directly above as one; empty without."""
    first = line
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return " ".join(text.strip().lstrip("#").strip() for text in lines[first:line])


def _default(node: yaml.Node) -> str:
    return json.dumps(yaml.safe_load(yaml.serialize(node)), ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
