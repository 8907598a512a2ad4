"""Dataclasses as JSON and back: nothing is lost, and what is wrong is named."""

import json
import math
from dataclasses import dataclass
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.json_records import JsonRecordError, read_record, write_record


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Circle:
    radius: float


@dataclass(frozen=True)
class Square:
    side: float
    colour: Colour | None = None


@dataclass(frozen=True)
class Drawing:
    name: str
    shapes: tuple[Circle | Square, ...]
    frame: Square
    scale: float
    copies: int
    signed: bool
    note: str | None = None


shapes = st.builds(Circle, st.floats(allow_nan=False)) | st.builds(
    Square, st.floats(allow_nan=False), st.sampled_from(Colour) | st.none()
)
drawings = st.builds(
    Drawing,
    st.text(),
    st.lists(shapes).map(tuple),
    st.builds(Square, st.floats(allow_nan=False)),
    st.floats(allow_nan=False, allow_infinity=False) | st.just(math.inf),
    st.integers(),
    st.booleans(),
    st.text() | st.none(),
)


@given(drawings)
def test_a_record_reads_back_to_the_last_bit(drawing: Drawing) -> None:
    assert read_record(Drawing, json.loads(json.dumps(write_record(drawing)))) == drawing


def a_drawing() -> dict[str, object]:
    drawing = Drawing("house", (Circle(1.0), Square(2.0, Colour.RED)), Square(9.0), math.inf, 3, signed=True)
    return json.loads(json.dumps(write_record(drawing)))  # type: ignore[no-any-return]


def test_the_form_is_plain_to_read() -> None:
    assert a_drawing() == {
        "name": "house",
        "shapes": [{"circle": {"radius": 1.0}}, {"square": {"side": 2.0, "colour": "red"}}],
        "frame": {"side": 9.0, "colour": None},
        "scale": None,
        "copies": 3,
        "signed": True,
        "note": None,
    }


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", 7, "name: must be a text, not 7"),
        ("scale", "big", "scale: must be a number or null, not 'big'"),
        ("scale", True, "scale: must be a number or null, not True"),
        ("copies", 1.5, "copies: must be a whole number, not 1.5"),
        ("copies", True, "copies: must be a whole number, not True"),
        ("copies", None, "copies: must be a whole number, not None"),
        ("signed", 1, "signed: must be true or false, not 1"),
        ("shapes", {}, "shapes: must be a list, not {}"),
        ("shapes", [{"circle": {"radius": "r"}}], "shapes[0].circle.radius: must be a number or null, not 'r'"),
        ("shapes", [{"star": {}}], "shapes[0].star: is unknown; known are circle, square"),
        ("shapes", [{"circle": {}, "square": {}}], "shapes[0]: must be an object with one key of circle, square"),
        ("shapes", [3], "shapes[0]: must be an object with one key of circle, square, not 3"),
        ("frame", {"side": 1.0, "colour": "green"}, "frame.colour: must be one of red, blue, not 'green'"),
        ("frame", {"side": 1.0}, "frame.colour: is missing"),
        ("frame", None, "frame: must be an object, not None"),
        ("extra", 1, "extra: is unknown; known are name, shapes"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(key: str, value: object, message: str) -> None:
    with pytest.raises(JsonRecordError) as error:
        read_record(Drawing, a_drawing() | {key: value})
    assert str(error.value).startswith(message)


def test_a_line_that_is_no_object_is_said_so() -> None:
    with pytest.raises(JsonRecordError, match="record: must be an object, not \\[\\]"):
        read_record(Drawing, [])


def test_what_json_has_no_form_for_is_refused() -> None:
    with pytest.raises(TypeError, match="has no form for"):
        write_record(Drawing({"a": 1}, (), Square(1.0), 1.0, 1, signed=True))  # type: ignore[arg-type]
