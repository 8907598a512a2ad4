"""Hypothesis strategies for whatever a structural schema lets through, and sometimes for what it would not."""

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

__all__ = ["values_of"]

Schema = Mapping[str, Any]
_OBJECTS_OF_KUBERNETES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=3),
    max_leaves=5,
)
_QUANTITIES = st.sampled_from([0, 1, 4, "1", "500m", "1Gi", "0.5"])


def values_of(schema: Schema) -> st.SearchStrategy[Any]:
    """Return a strategy for the values that a schema admits; rules in CEL are not heeded."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return _QUANTITIES
    if "anyOf" in schema and "type" not in schema:
        return st.one_of([values_of(each) for each in schema["anyOf"]])
    kinds: Mapping[str, Callable[[Schema], st.SearchStrategy[Any]]] = {
        "object": _objects,
        "array": _lists,
        "string": _strings,
        "integer": _integers,
        "number": _numbers,
        "boolean": lambda schema: st.booleans(),
    }
    kind = schema.get("type")
    return kinds[kind](schema) if kind else _OBJECTS_OF_KUBERNETES


def _lists(schema: Schema) -> st.SearchStrategy[list[Any]]:
    least, most = schema.get("minItems", 0), min(3, schema.get("maxItems", 3))
    return st.lists(values_of(schema["items"]), min_size=least, max_size=most)


def _integers(schema: Schema) -> st.SearchStrategy[int]:
    return st.integers(schema.get("minimum", -1000), schema.get("maximum", 10**6))


def _numbers(schema: Schema) -> st.SearchStrategy[float]:
    least, most = schema.get("minimum", -1e6), schema.get("maximum", 1e6)
    whole = st.integers(-1000, 1000).filter(lambda number: least <= number <= most)
    return st.floats(least, most, allow_nan=False) | whole


def _objects(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    properties, required = schema.get("properties", {}), set(schema.get("required", ()))
    if not properties and schema.get("x-kubernetes-preserve-unknown-fields"):
        return st.dictionaries(st.text(min_size=1, max_size=8), _OBJECTS_OF_KUBERNETES, max_size=3)
    if not properties:
        values = schema.get("additionalProperties", {"type": "string"})
        names = st.from_regex(r"[a-z]([a-z0-9./-]{0,10}[a-z0-9])?", fullmatch=True)
        return st.dictionaries(names, values_of(values if isinstance(values, Mapping) else {}), max_size=3)
    return st.fixed_dictionaries(
        {name: values_of(field) for name, field in properties.items() if name in required},
        optional={name: values_of(field) for name, field in properties.items() if name not in required},
    )


def _strings(schema: Schema) -> st.SearchStrategy[str]:
    least, most = schema.get("minLength", 0), min(40, schema.get("maxLength", 40))
    if "pattern" in schema:
        matching = st.from_regex(schema["pattern"].replace("$", r"\Z"))
        return matching.filter(lambda text: least <= len(text) <= schema.get("maxLength", 253))
    return st.text(min_size=least, max_size=most) | st.sampled_from(["a", "some-name", "host:6379"])
