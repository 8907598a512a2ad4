"""Durations as people write them in manifests and on the command line, and as the code holds them.

Inside, a duration is a float of seconds. Outside it is a number with a unit: `50ms`, `6s`, `10m`, `1h`, or a run of
them: `1h30m`.
"""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["DurationError", "format_duration", "parse_duration"]

_SECONDS: Mapping[str, float] = MappingProxyType(
    {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
)
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


class DurationError(ValueError):
    """A text is no duration; the message says how to write one."""


def parse_duration(text: str) -> float:
    """Return the seconds that `text` stands for.

    Raises:
        DurationError: `text` is no number with a unit.
    """
    compact = text.strip().replace(" ", "")
    if not _WHOLE.fullmatch(compact):
        raise DurationError(f"{text!r} is no duration: write a number with a unit, for example 50ms, 6s, 10m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(compact))


def format_duration(seconds: float) -> str:
    """Return `seconds` as a person would write it: three digits and the unit that fits."""
    if not math.isfinite(seconds):
        return str(seconds)
    # Rounded first, so that the unit fits what is shown: 0.9999 is 1s and not 1000ms.
    sign, size = ("-" if seconds < 0 else ""), float(f"{abs(seconds):.3g}")
    for unit, scale in (("d", 86400.0), ("h", 3600.0), ("m", 60.0)):
        if size >= 2 * scale:
            return f"{sign}{_three_digits(size / scale)}{unit}"
    if size >= 1 or size == 0:
        return f"{sign}{_three_digits(size)}s"
    if size >= 1e-3:
        return f"{sign}{_three_digits(size * 1e3)}ms"
    return f"{sign}{_three_digits(size * 1e6)}us"


def _three_digits(number: float) -> str:
    """Return `number` with three digits and no idle zeros, never in powers of ten."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
