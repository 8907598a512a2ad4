"""What a run comes to: counts, a line for each kind of fault, and whether anything was lost."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.losses.ordeal import Ordeal
from bench.losses.recovery import HeldUp, held_up
from bench.losses.streams import Ending, Stream

__all__ = ["Account", "FaultFigures", "account_of", "as_json", "as_text"]


@dataclass(frozen=True, slots=True)
class FaultFigures:
    """What one kind of fault did, however often it came; `whole` has seconds until all was as before, in order."""

    number: int
    held_up: HeldUp
    whole: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """The figures of a run.

    Attributes:
        seconds: it took.
        num_sent: requests.
        num_accepted: of which a client has heard that a router took them on.
        num_lost: of which nothing was heard in the end.
        num_different: whose tokens are not those of an undisturbed run.
        num_moved: went on at another replica.
        num_reconnected: went on at another router.
        sdk_errors: by what the SDK's clients were told.
        num_plain: requests of plain gRPC clients.
        plain_errors: by what those were told.
        faults: by kind of fault.
    """

    seconds: float
    num_sent: int
    num_accepted: int
    num_lost: int
    num_different: int
    num_moved: int
    num_reconnected: int
    sdk_errors: Mapping[str, int]
    num_plain: int
    plain_errors: Mapping[str, int]
    faults: Mapping[str, FaultFigures]

    @property
    def is_well(self) -> bool:
        """Whether nothing was lost or wrong, and no client of the SDK saw an error."""
        return not (self.num_lost or self.num_different or self.sdk_errors)


def account_of(ordeal: Ordeal) -> Account:
    """Return the figures of what was seen."""
    streams = ordeal.streams
    plain = [stream for stream in streams if stream.is_plain]
    return Account(
        seconds=ordeal.seconds,
        num_sent=len(streams),
        num_accepted=sum(stream.accepted for stream in streams),
        num_lost=sum(stream.ending is Ending.OPEN for stream in streams),
        num_different=sum(bool(stream.difference) for stream in streams),
        num_moved=sum(stream.num_moves > 0 for stream in streams),
        num_reconnected=sum(stream.num_calls > 1 for stream in streams),
        sdk_errors=_errors(stream for stream in streams if not stream.is_plain),
        num_plain=len(plain),
        plain_errors=_errors(plain),
        faults=_by_kind(ordeal),
    )


def as_text(account: Account) -> str:
    """Return the figures for a person."""
    lines = [
        f"{account.num_sent} requests in {account.seconds:.0f} s, {account.num_accepted} accepted",
        f"went on at another replica: {account.num_moved}, at another router: {account.num_reconnected}",
        f"lost: {account.num_lost}",
        f"streams that differ from an undisturbed run: {account.num_different}",
        f"errors seen by clients of the SDK: {_told(account.sdk_errors)}",
        f"errors seen by plain gRPC clients, {account.num_plain} requests: {_told(account.plain_errors)}",
        "",
        f"{'':32}{'':>7}{'streams':>9}{'held':>6}{'until the next token':>22}{'first token of new':>20}{'whole':>8}",
        f"{'fault':32}{'times':>7}{'open':>9}{'up':>6}{'median':>11}{'longest':>11}{'longest':>20}{'again':>8}",
    ]
    return "\n".join([*lines, *(_line(title, figures) for title, figures in account.faults.items())])


def as_json(account: Account) -> dict[str, object]:
    """Return the figures for a program."""
    counts = {name: getattr(account, name) for name in Account.__slots__ if name != "faults"}
    by_kind = {
        title: {
            "number": figures.number,
            "num_open": figures.held_up.num_open,
            "held_up_seconds": figures.held_up.seconds,
            "first_token_seconds": figures.held_up.first_tokens,
            "whole_seconds": figures.whole,
        }
        for title, figures in account.faults.items()
    }
    return {**counts, "faults": by_kind}


def _by_kind(ordeal: Ordeal) -> Mapping[str, FaultFigures]:
    figures: dict[str, FaultFigures] = defaultdict(lambda: FaultFigures(0, HeldUp(0, (), ()), ()))
    for one in ordeal.happenings:
        known = figures[one.fault.title]
        seen = held_up(ordeal.streams, began=one.began, ended=one.ended)
        whole = tuple(sorted((*known.whole, one.whole - one.began)))
        figures[one.fault.title] = FaultFigures(known.number + 1, known.held_up + seen, whole)
    return dict(figures)


def _errors(streams: Iterable[Stream]) -> Mapping[str, int]:
    return dict(Counter(stream.error.partition(":")[0] for stream in streams if stream.error))


def _told(errors: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in errors.items()) or "none"


def _line(title: str, figures: FaultFigures) -> str:
    seen = figures.held_up
    return (
        f"{title:32}{figures.number:7}{seen.num_open:9}{len(seen.seconds):6}{_seconds(seen.seconds, 0.5):>11}"
        f"{_seconds(seen.seconds, 1):>11}{_seconds(seen.first_tokens, 1):>20}{_seconds(figures.whole, 1):>8}"
    )


def _seconds(values: Sequence[float], share: float) -> str:
    """Return the value below which a share of them is."""
    if not values:
        return "-"
    value = values[min(len(values) - 1, math.ceil(share * len(values)) - 1)]
    return "never" if math.isinf(value) else f"{value:.1f} s"
