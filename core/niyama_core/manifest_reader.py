"""Reads a nested mapping field by field and collects everything that is wrong with it.

A person who wrote a manifest wants to hear of all mistakes at once, each with the path of its field, what is wrong
and how to mend it. So a reader never raises while it reads: it notes a problem, returns the default, and goes on.
Whoever began the reading raises at the end.
"""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from niyama_core.units import DurationError, parse_duration

__all__ = ["ManifestError", "ManifestReader", "Problem"]

E = TypeVar("E", bound=Enum)
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the path of the field, and a sentence with the fix."""

    path: str
    message: str

    def __str__(self) -> str:
        """Return the problem as one line."""
        return f"{self.path}: {self.message}"


class ManifestError(ValueError):
    """A manifest or configuration has problems; all of them are in `problems`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep the problems."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class ManifestReader:
    """One mapping of a manifest, and the path that leads to it.

    Args:
        value: the mapping; anything else is noted as a problem and read as an empty one.
        path: where it stands, for example `spec.qosClasses[1]`.
        problems: where problems are noted; shared by all readers of one manifest.
    """

    def __init__(self, value: object, path: str = "", *, problems: list[Problem] | None = None) -> None:
        """Begin to read."""
        self.path = path
        self.problems: list[Problem] = [] if problems is None else problems
        self._known: set[str] = set()
        self._fields: Mapping[str, object] = {}
        if isinstance(value, Mapping):
            self._fields = {str(key): field for key, field in value.items()}
        elif value is not None:
            self._note(path or "document", f"must be a mapping of fields, not {_kind(value)}")

    def __contains__(self, key: str) -> bool:
        """Return whether a field, which is known from here on, is given and not null."""
        self._known.add(key)
        return self._fields.get(key) is not None

    def path_of(self, key: str) -> str:
        """Return the path of a field; of the mapping itself for an empty key."""
        return ".".join(filter(None, (self.path, key)))

    def problem(self, key: str, message: str) -> None:
        """Note that a field is wrong."""
        self._note(self.path_of(key), message)

    def text(self, key: str, default: str | None = None) -> str:
        """Read a text; without a default the field is required."""
        value = self._get(key, default)
        if isinstance(value, str) and value.strip():
            return value
        if value is not _MISSING:
            self.problem(key, f"must be a text that is not empty, not {_kind(value)}")
        return default or ""

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a list of texts; an absent list is empty."""
        self._known.add(key)
        value = self._fields.get(key)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            self.problem(key, f"must be a list of texts, not {_kind(value)}")
            return ()
        texts = tuple(item for item in value if isinstance(item, str) and item.strip())
        for index, item in enumerate(value):
            if item not in texts:
                self.problem(f"{key}[{index}]", f"must be a text that is not empty, not {_kind(item)}")
        return texts if len(texts) == len(value) else ()

    def mapping(self, key: str) -> Mapping[str, object]:
        """Read a mapping whose fields are not ours to judge; an absent one is empty."""
        self._known.add(key)
        value = self._fields.get(key)
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return {str(name): field for name, field in value.items()}
        self.problem(key, f"must be a mapping of fields, not {_kind(value)}")
        return {}

    def mappings(self, key: str) -> tuple[Mapping[str, object], ...]:
        """Read a list of mappings whose fields are not ours to judge; an absent list is empty."""
        return tuple(section.all_fields() for section in self.sections(key))

    def all_fields(self) -> Mapping[str, object]:
        """Return the mapping as it is, all of whose fields are known from here on."""
        self._known.update(self._fields)
        return self._fields

    def integer(self, key: str, default: int, *, least: int, most: int) -> int:
        """Read a whole number between two bounds."""
        value = self._get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.problem(key, f"must be a whole number from {least} to {most}, not {_kind(value)}")
        return default

    def number(self, key: str, default: float, *, least: float, most: float) -> float:
        """Read a number between two bounds."""
        value = self._get(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most:
            return float(value)
        self.problem(key, f"must be a number from {least:g} to {most:g}, not {_kind(value)}")
        return default

    def numbers(self, key: str, *, least: float, most: float) -> tuple[float, ...]:
        """Read a list of numbers between two bounds; an absent list is empty."""
        self._known.add(key)
        value = self._fields.get(key)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            self.problem(key, f"must be a list of numbers, not {_kind(value)}")
            return ()
        for index, item in enumerate(value):
            if not isinstance(item, int | float) or isinstance(item, bool) or not least <= item <= most:
                self.problem(f"{key}[{index}]", f"must be a number from {least:g} to {most:g}, not {_kind(item)}")
                return ()
        return tuple(map(float, value))

    def flag(self, key: str, default: bool) -> bool:
        """Read true or false."""
        value = self._get(key, default)
        if isinstance(value, bool):
            return value
        self.problem(key, f"must be true or false, not {_kind(value)}")
        return default

    def duration(self, key: str, default: float | None = None, *, most: float = 7 * 86400.0) -> float:
        """Read a duration such as `50ms`, in seconds, above zero; without a default the field is required."""
        value = self._get(key, default)
        if value is _MISSING:
            return math.nan
        if value is default and default is not None:
            return default
        seconds = math.nan
        if isinstance(value, str):
            try:
                seconds = parse_duration(value)
            except DurationError as error:
                self.problem(key, str(error))
                return seconds
        if not 0 < seconds <= most:
            fix = f"must be a duration above zero and at most {most / 86400:g} days, for example 50ms, 6s or 10m"
            self.problem(key, f"{fix}, not {_kind(value)}")
            return math.nan
        return seconds

    def choice(self, key: str, default: E) -> E:
        """Read one of the values of the enum that the default is from."""
        choices = type(default)
        value = self._get(key, default.value)
        for choice in choices:
            if choice.value == value:
                return choice
        self.problem(key, f"must be one of {', '.join(str(c.value) for c in choices)}, not {_kind(value)}")
        return default

    def section(self, key: str) -> "ManifestReader":
        """Return a reader of a nested mapping; an absent one reads as empty."""
        self._known.add(key)
        return ManifestReader(self._fields.get(key), self.path_of(key), problems=self.problems)

    def sections(self, key: str) -> Iterator["ManifestReader"]:
        """Iterate over readers of a list of mappings; an absent list is empty."""
        self._known.add(key)
        value = self._fields.get(key)
        if value is None:
            return
        if not isinstance(value, list | tuple):
            self.problem(key, f"must be a list, not {_kind(value)}")
            return
        for index, item in enumerate(value):
            yield ManifestReader({} if item is None else item, f"{self.path_of(key)}[{index}]", problems=self.problems)

    def refuse_unknown(self) -> None:
        """Note every field that nobody has read; call it when all fields have been."""
        for key in self._fields:
            if key in self._known:
                continue
            near = difflib.get_close_matches(key, self._known, n=1)
            fix = f"did you mean {near[0]}?" if near else f"known fields are {', '.join(sorted(self._known))}"
            self.problem(key, f"is not a field; {fix}")

    def raise_problems(self) -> None:
        """Raise what has been noted.

        Raises:
            ManifestError: something was wrong.
        """
        if self.problems:
            raise ManifestError(self.problems)

    def _get(self, key: str, default: object) -> object:
        self._known.add(key)
        value = self._fields.get(key)
        if value is not None:
            return value
        if default is None:
            self.problem(key, "is required")
            return _MISSING
        return default

    def _note(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))


def _kind(value: object) -> str:
    """Return a short description of a wrong value."""
    match value:
        case None:
            return "nothing"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            text = repr(value)
            return text if len(text) <= 60 else text[:57] + "..."
