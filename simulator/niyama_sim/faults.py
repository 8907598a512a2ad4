"""What may go wrong in a simulated cluster, as values, and how they are written.

    lose:3@10m          replica 3 is lost ten minutes into the run, for good
    lose:3@10m:90s      likewise, and comes back empty after 90 s
    slow:0@5m:2m:1.5    replica 0 takes 1.5 times as long for two minutes
    restart:all@10m:30s replicas are restarted one after the other, each away for 30 s once it is drained
    restart:2@10m:30s   likewise replica 2 alone

What happens then is `fault_injection`'s to say.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from niyama_core.units import DurationError, parse_duration

__all__ = ["Fault", "Lose", "Restart", "Slow", "parse_faults"]

_HOW_TO_WRITE = "write lose:3@10m, lose:3@10m:90s, slow:0@5m:2m:1.5 or restart:all@10m:30s"


@dataclass(frozen=True, slots=True)
class Lose:
    """A replica dies with all that it holds.

    Attributes:
        replica: which, counted from 0.
        at: seconds into the run.
        away: seconds until it is back, empty; None for never.
    """

    replica: int
    at: float
    away: float | None = None


@dataclass(frozen=True, slots=True)
class Slow:
    """A replica's iterations take longer for a while, which its predictor is not told.

    Attributes:
        replica: which, counted from 0.
        at: seconds into the run.
        lasts: seconds.
        factor: how many times as long they take.
    """

    replica: int
    at: float
    lasts: float
    factor: float


@dataclass(frozen=True, slots=True)
class Restart:
    """Replicas are drained, restarted and taken in again, one after the other.

    Attributes:
        replica: which, counted from 0; None for all in turn.
        at: seconds into the run at which the first is drained.
        away: seconds from drained to back.
    """

    replica: int | None
    at: float
    away: float


Fault = Lose | Slow | Restart


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Return the faults that a text names, with commas between them.

    Raises:
        ValueError: one of them is none; the message says which, and how they are written.
    """
    return tuple(_parse(part.strip()) for part in text.split(","))


def _parse(text: str) -> Fault:
    kind, _, rest = text.partition(":")
    who, _, when = rest.partition("@")
    try:
        fault = _made(kind, who.strip(), times=when.split(":"))
    except (DurationError, ValueError) as error:
        raise ValueError(f"{text!r} names no fault ({error}): {_HOW_TO_WRITE}") from None
    return fault


def _made(kind: str, who: str, *, times: Sequence[str]) -> Fault:
    match kind, times:
        case "lose", [at]:
            return Lose(_replica(who), _instant(at))
        case "lose", [at, away]:
            return Lose(_replica(who), _instant(at), _positive(parse_duration(away), away))
        case "slow", [at, lasts, factor]:
            seconds = _positive(parse_duration(lasts), lasts)
            return Slow(_replica(who), _instant(at), seconds, _positive(float(factor), factor))
        case "restart", [at, away]:
            replica = None if who == "all" else _replica(who)
            return Restart(replica, _instant(at), _positive(parse_duration(away), away))
        case _:
            raise ValueError("the kind is unknown, or a part is missing")


def _replica(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is no number of a replica")
    return int(text)


def _instant(text: str) -> float:
    return 0.0 if text == "0" else parse_duration(text)


def _positive(value: float, text: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{text!r} is not above zero")
    return value
