"""Reading mappings: every mistake is noted with its path and its fix, and reading goes on."""

import math
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.manifest_reader import ManifestError, ManifestReader


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


Read = Callable[[ManifestReader], object]


def problems(reader: ManifestReader) -> dict[str, str]:
    return {problem.path: problem.message for problem in reader.problems}


@pytest.mark.parametrize(
    ("value", "read", "expected"),
    [
        ("x", lambda r: r.text("f"), "x"),
        (["a", "b"], lambda r: r.texts("f"), ("a", "b")),
        ([], lambda r: r.texts("f"), ()),
        (5, lambda r: r.integer("f", 1, least=0, most=9), 5),
        (5, lambda r: r.number("f", 1.0, least=0, most=9), 5.0),
        (0.5, lambda r: r.number("f", 1.0, least=0, most=9), 0.5),
        (True, lambda r: r.flag("f", False), True),
        ("1h30m", lambda r: r.duration("f"), 5400.0),
        ("blue", lambda r: r.choice("f", Colour.RED), Colour.BLUE),
    ],
)
def test_a_field_that_is_right_is_read(value: object, read: Read, expected: object) -> None:
    reader = ManifestReader({"f": value})
    assert read(reader) == expected
    reader.refuse_unknown()
    reader.raise_problems()


@pytest.mark.parametrize("document", [{}, {"f": None}])
@pytest.mark.parametrize(
    ("read", "default"),
    [
        (lambda r: r.text("f", "x"), "x"),
        (lambda r: r.texts("f"), ()),
        (lambda r: r.integer("f", 1, least=0, most=9), 1),
        (lambda r: r.number("f", 1.5, least=0, most=9), 1.5),
        (lambda r: r.flag("f", True), True),
        (lambda r: r.duration("f", 2.0), 2.0),
        (lambda r: r.choice("f", Colour.RED), Colour.RED),
        (lambda r: list(r.sections("f")), []),
        (lambda r: "f" in r, False),
    ],
)
def test_a_field_that_is_left_out_or_null_has_its_default(document: Any, read: Read, default: object) -> None:  # noqa: ANN401
    reader = ManifestReader(document)
    assert read(reader) == default
    assert reader.problems == []


@pytest.mark.parametrize("read", [lambda r: r.text("f"), lambda r: r.duration("f")])
def test_a_required_field_that_is_left_out_is_noted(read: Read) -> None:
    reader = ManifestReader({})
    read(reader)
    assert problems(reader) == {"f": "is required"}


@pytest.mark.parametrize(
    ("value", "read", "fix"),
    [
        ("", lambda r: r.text("f"), "not empty"),
        ("  ", lambda r: r.text("f"), "not empty"),
        (5, lambda r: r.text("f"), "must be a text"),
        ({}, lambda r: r.text("f"), "not a mapping"),
        ("a", lambda r: r.texts("f"), "must be a list of texts, not 'a'"),
        (["a", 5], lambda r: r.texts("f"), "a text that is not empty, not 5"),
        (["", "b"], lambda r: r.texts("f"), "a text that is not empty, not ''"),
        (10, lambda r: r.integer("f", 1, least=0, most=9), "from 0 to 9, not 10"),
        (1.0, lambda r: r.integer("f", 1, least=0, most=9), "whole number"),
        (True, lambda r: r.integer("f", 1, least=0, most=9), "whole number"),
        ("5", lambda r: r.integer("f", 1, least=0, most=9), "not '5'"),
        (math.nan, lambda r: r.number("f", 1.0, least=0, most=9), "not nan"),
        (-1, lambda r: r.number("f", 1.0, least=0, most=9), "from 0 to 9"),
        (False, lambda r: r.number("f", 1.0, least=0, most=9), "must be a number"),
        ("yes", lambda r: r.flag("f", False), "true or false, not 'yes'"),
        (1, lambda r: r.flag("f", False), "true or false"),
        ("6", lambda r: r.duration("f"), "write a number with a unit"),
        (6, lambda r: r.duration("f"), "for example 50ms, 6s or 10m"),
        ("0s", lambda r: r.duration("f"), "above zero"),
        ("8d", lambda r: r.duration("f"), "at most 7 days"),
        ("green", lambda r: r.choice("f", Colour.RED), "one of red, blue, not 'green'"),
        ({"a": 1}, lambda r: list(r.sections("f")), "must be a list"),
        ("x", lambda r: r.section("f"), "a mapping of fields, not 'x'"),
    ],
)
def test_a_field_that_is_wrong_is_noted_with_its_path_and_its_fix(value: object, read: Read, fix: str) -> None:
    reader = ManifestReader({"f": value}, "spec")
    read(reader)
    ((path, message),) = problems(reader).items()
    assert path.startswith("spec.f")
    assert fix in message


def test_an_item_of_a_list_that_is_wrong_is_named_by_its_place() -> None:
    reader = ManifestReader({"f": ["a", "", "b", 7]})
    assert reader.texts("f") == ()
    assert list(problems(reader)) == ["f[1]", "f[3]"]


def test_nested_fields_are_named_by_their_whole_path() -> None:
    reader = ManifestReader({"list": [{"a": "x"}, {"a": 1}, "y"], "section": {"b": []}})
    for item in reader.sections("list"):
        item.text("a")
    reader.section("section").text("b")
    assert list(problems(reader)) == ["list[1].a", "list[2]", "list[2].a", "section.b"]


def test_a_field_that_nobody_knows_is_noted_with_the_one_that_was_meant() -> None:
    reader = ManifestReader({"replicas": 1, "replcas": 2, "zzz": 3})
    reader.integer("replicas", 1, least=0, most=9)
    reader.text("model", "m")
    reader.refuse_unknown()
    assert problems(reader)["replcas"] == "is not a field; did you mean replicas?"
    assert problems(reader)["zzz"] == "is not a field; known fields are model, replicas"


def test_a_long_value_is_cut_short() -> None:
    reader = ManifestReader({"f": "x" * 1000})
    reader.flag("f", False)
    assert len(problems(reader)["f"]) < 120


def test_all_problems_are_raised_together_one_a_line() -> None:
    reader = ManifestReader({"a": 1, "b": 2})
    reader.text("a")
    reader.section("b").text("c")
    with pytest.raises(ManifestError) as caught:
        reader.raise_problems()
    assert [problem.path for problem in caught.value.problems] == ["a", "b", "b.c"]
    assert str(caught.value).count("\n") == 2


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
documents = st.recursive(plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner))


@given(documents)
def test_whatever_is_written_reading_goes_on(value: object) -> None:
    for document in (value, {"f": value}):
        reader = ManifestReader(document)
        reader.text("f")
        reader.texts("f")
        reader.integer("f", 1, least=0, most=9)
        reader.number("f", 1.0, least=0, most=9)
        reader.flag("f", False)
        reader.duration("f")
        reader.choice("f", Colour.RED)
        reader.section("f").refuse_unknown()
        for section in reader.sections("f"):
            section.refuse_unknown()
        reader.refuse_unknown()
