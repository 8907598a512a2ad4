"""Frozen dataclasses as plain JSON values, and back without loss.

The dataclasses are the schema, so it is written once. A field becomes a key; an enum its value; a tuple a list; one of
several dataclasses is named by a key of its own: `{"interactive": {"ttft": 6.0, "tbt": 0.05}}`. JSON has no infinity:
an infinite float is null. Floats keep every bit, because Python writes the shortest text that reads back the same.
"""

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import TypeVar, get_args, get_origin, get_type_hints

__all__ = ["Json", "JsonRecordError", "read_record", "write_record"]

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
T = TypeVar("T")


class JsonRecordError(ValueError):
    """A JSON value is not the record that was expected; the message begins with the key that is wrong."""


def write_record(record: object) -> dict[str, Json]:
    """Return a dataclass as JSON values.

    Raises:
        TypeError: a field holds what JSON records have no form for.
    """
    schema: type = type(record)
    return {name: _write(getattr(record, name), kind) for name, kind in _fields(schema).items()}


def read_record(kind: type[T], value: object, *, path: str = "") -> T:
    """Return the dataclass of type `kind` that `write_record` made `value` from.

    Args:
        kind: the dataclass.
        value: what was read from JSON.
        path: where it stands, for messages.

    Raises:
        JsonRecordError: a key is missing, unknown or of another type.
    """
    if not isinstance(value, Mapping):
        raise _unexpected(value, "an object", path=path)
    schema: type = kind
    known = _fields(schema)
    for key in value:
        if key not in known:
            raise JsonRecordError(f"{_join(path, str(key))}: is unknown; known are {', '.join(known)}")
    for name in known:
        if name not in value:
            raise JsonRecordError(f"{_join(path, name)}: is missing")
    return kind(**{name: _read(field, value[name], path=_join(path, name)) for name, field in known.items()})


@cache
def _fields(kind: type) -> Mapping[str, object]:
    """Return the type of each field of a dataclass."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


@cache
def _alternatives(kind: object) -> Mapping[str, type]:
    """Return the dataclasses of a union by name; empty for any other type."""
    members = get_args(kind) if isinstance(kind, types.UnionType) else ()
    return {member.__name__.lower(): member for member in members if isinstance(member, type) and is_dataclass(member)}


def _write(value: object, kind: object) -> Json:
    match value:
        case Enum(value=str(text)):
            return text
        case float():
            return None if value == math.inf else value
        case None | bool() | int() | str():
            return value
        case tuple():
            return [_write(item, get_args(kind)[0]) for item in value]
        case _ if is_dataclass(value):
            record = write_record(value)
            return {type(value).__name__.lower(): record} if len(_alternatives(kind)) > 1 else record
        case _:
            raise TypeError(f"a JSON record has no form for {value!r}")


def _read(kind: object, value: object, *, path: str) -> object:
    """Return the value of a field of type `kind`."""
    if isinstance(kind, types.UnionType):
        return _read_union(kind, value, path=path)
    if get_origin(kind) is tuple:
        return _read_list(get_args(kind)[0], value, path=path)
    if isinstance(kind, type) and is_dataclass(kind):
        return read_record(kind, value, path=path)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _read_enum(kind, value, path=path)
    return _read_plain(kind, value, path=path)


def _read_union(kind: types.UnionType, value: object, *, path: str) -> object:
    """Read an optional value, or one of several dataclasses."""
    if value is None and types.NoneType in get_args(kind):
        return None
    alternatives = _alternatives(kind)
    if len(alternatives) < 2:
        (member,) = (member for member in get_args(kind) if member is not types.NoneType)
        return _read(member, value, path=path)
    if not isinstance(value, Mapping) or len(value) != 1:
        raise _unexpected(value, f"an object with one key of {', '.join(alternatives)}", path=path)
    ((name, record),) = value.items()
    if name not in alternatives:
        raise JsonRecordError(f"{_join(path, str(name))}: is unknown; known are {', '.join(alternatives)}")
    return read_record(alternatives[name], record, path=_join(path, name))


def _read_list(kind: object, value: object, *, path: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise _unexpected(value, "a list", path=path)
    return tuple(_read(kind, item, path=f"{path}[{index}]") for index, item in enumerate(value))


def _read_enum(kind: type[Enum], value: object, *, path: str) -> Enum:
    for member in kind:
        if member.value == value:
            return member
    raise _unexpected(value, "one of " + ", ".join(str(member.value) for member in kind), path=path)


def _read_plain(kind: object, value: object, *, path: str) -> object:
    """Read a text, a flag or a number."""
    if kind is float and value is None:
        return math.inf
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind in {bool, int, str} and type(value) is kind:
        return value
    names = {float: "a number or null", bool: "true or false", int: "a whole number", str: "a text"}
    expected = next((name for plain, name in names.items() if plain is kind), "something else")
    raise _unexpected(value, expected, path=path)


def _unexpected(value: object, expected: str, *, path: str) -> JsonRecordError:
    return JsonRecordError(f"{path or 'record'}: must be {expected}, not {value!r:.80}")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
