"""What a call's metadata say of a request: its promise, application and id, by our names and those of others.

The keys are gRPC metadata and HTTP headers alike. Of the names for one thing the first that is there counts. Whoever
sends a value that cannot be read, or misspells a key of ours, is told which; a promise is never lost in silence.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from niyama_core.promise import QosAsk
from niyama_core.slo import Importance
from niyama_runtime.status import FieldViolation

__all__ = ["MAX_NAME_CHARACTERS", "CallMetadata", "read_metadata"]

MAX_NAME_CHARACTERS = 128
"""The longest request id and application name."""

_CLASS = ("niyama-qos-class",)
_TTFT = ("niyama-ttft-ms", "x-llm-d-slo-ttft-ms", "x-slo-ttft-ms")
# The time per output token of others is our time between tokens.
_TBT = ("niyama-tbt-ms", "x-llm-d-slo-tpot-ms", "x-slo-tpot-ms")
_TTLT = ("niyama-ttlt-ms",)
_IMPORTANCE = ("niyama-importance",)
_APP = ("niyama-app", "x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id")
_REQUEST_ID = ("niyama-request-id",)
_APPOINTMENT = ("niyama-appointment",)
_KEYS = frozenset((*_CLASS, *_TTFT, *_TBT, *_TTLT, *_IMPORTANCE, *_APP, *_REQUEST_ID, *_APPOINTMENT))

_OUR_PREFIX = "niyama-"
_OUR_KEYS = tuple(sorted(key for key in _KEYS if key.startswith(_OUR_PREFIX)))

_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?([eE][+-]?\d{1,3})?", re.ASCII)

Value = str | bytes


@dataclass(frozen=True, slots=True)
class CallMetadata:
    """What the metadata say; what they leave open is None or empty, what is wrong is in `violations`."""

    ask: QosAsk
    app: str
    request_id: str
    appointment: str
    violations: tuple[FieldViolation, ...]


def read_metadata(metadata: Iterable[tuple[str, Value]]) -> CallMetadata:
    """Return what the metadata of a call say; keys of others are passed over, misspelt ones of ours are not."""
    values = _Values(metadata)
    ask = QosAsk(
        qos_class=values.text(_CLASS),
        ttft=values.seconds(_TTFT),
        tbt=values.seconds(_TBT),
        ttlt=values.seconds(_TTLT),
        importance=values.importance(_IMPORTANCE),
    )
    app, request_id = values.text(_APP) or "", values.text(_REQUEST_ID) or ""
    appointment = values.text(_APPOINTMENT) or ""
    return CallMetadata(ask, app, request_id, appointment, tuple(values.violations))


class _Values:
    """The values of our keys, and what is wrong with them."""

    def __init__(self, metadata: Iterable[tuple[str, Value]]) -> None:
        self.violations: list[FieldViolation] = []
        self._by_key: Mapping[str, str] = MappingProxyType(self._readable(metadata))

    def text(self, keys: Sequence[str]) -> str | None:
        """Return the value of the first key that is there."""
        key = self._first(keys)
        return None if key is None else self._by_key[key]

    def seconds(self, keys: Sequence[str]) -> float | None:
        """Return milliseconds as seconds."""
        key = self._first(keys)
        if key is None:
            return None
        text = self._by_key[key].strip()
        seconds = float(text) / 1000 if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(seconds):
            self._violate(key, f"{_quoted(text)} is no number of milliseconds: write digits, for example 1500")
            return None
        return seconds

    def importance(self, keys: Sequence[str]) -> Importance | None:
        """Return the importance, whatever its case."""
        key = self._first(keys)
        if key is None:
            return None
        text = self._by_key[key].strip().lower()
        for importance in Importance:
            if importance.value == text:
                return importance
        self._violate(key, f"{_quoted(text)} is unknown: use {' or '.join(i.value for i in Importance)}")
        return None

    def _first(self, keys: Sequence[str]) -> str | None:
        return next((key for key in keys if key in self._by_key), None)

    def _readable(self, metadata: Iterable[tuple[str, Value]]) -> dict[str, str]:
        readable: dict[str, str] = {}
        for key, value in metadata:
            name = key.lower().removesuffix("-bin")
            if name in _KEYS:
                self._take(readable, name, value=value)
            elif name.startswith(_OUR_PREFIX):
                near = difflib.get_close_matches(name, _OUR_KEYS, n=1)
                fix = f"did you mean {near[0]}?" if near else f"keys are {', '.join(_OUR_KEYS)}"
                self._violate(name, f"is no key of Niyama's; {fix}")
        return readable

    def _take(self, readable: dict[str, str], name: str, *, value: Value) -> None:
        """Keep a value, or say what is wrong with it; an empty one is as good as none."""
        if isinstance(value, bytes):
            self._violate(name, f"must be text under the key {name}, not bytes")
        elif not value.isascii():
            self._violate(name, "must be ASCII")
        elif name in readable and readable[name] != value:
            self._violate(name, f"is given twice, as {_quoted(readable[name])} and as {_quoted(value)}")
        elif value.strip():
            readable[name] = value

    def _violate(self, field: str, description: str) -> None:
        self.violations.append(FieldViolation(field, description))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
