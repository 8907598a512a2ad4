"""What goes wrong in a run: which kinds of faults there are, in which order they come, and how each is brought about.

Each kind comes once, in the order of the list; then they come at random, from a seed. One is over, and the cluster
whole again, before the next begins: what follows from one fault is not blamed on another.
"""

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from bench.losses.network import CLIENT
from bench.losses.stage import REDIS, Cast, Stage

__all__ = ["Fault", "Kind", "faults", "suffer"]

_WHOLE_SECONDS = 60.0


class Kind(Enum):
    """What is done."""

    KILL = "kill -9"
    PAUSE = "SIGSTOP"
    CUT = "partition"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: what is done.
        roles: whom it hits, as in `replica` or `router from redis`.
        names: the process, or the two places between which nothing goes through.
        seconds: after which what was killed starts again, what hangs goes on, and what was cut is mended.
    """

    kind: Kind
    roles: str
    names: tuple[str, ...]
    seconds: float

    @property
    def title(self) -> str:
        """The kind and whom it hits: what figures are kept by."""
        return f"{self.kind.value} {self.roles}"

    def __str__(self) -> str:
        """Return it with the names."""
        return f"{self.kind.value} {' | '.join(self.names)}, {self.seconds:g} s"


def faults(cast: Cast, *, seed: int, can_cut: bool, spared: Sequence[str] = ()) -> Iterator[Fault]:
    """Yield faults for ever: each kind once, then at random; those who are `spared` are never killed."""
    rng = random.Random(seed)
    kinds = [*_of_processes(), *(_of_ways() if can_cut else ())]
    for kind, roles, seconds in itertools.chain(kinds, _at_random(kinds, rng)):
        names = tuple(_pick(role, cast, rng=rng, spared=spared if kind is Kind.KILL else ()) for role in roles)
        yield Fault(kind, " from ".join(roles), names, seconds)


async def suffer(fault: Fault, stage: Stage) -> None:
    """Let it happen, and wait until the cluster is whole again.

    Raises:
        TimeoutError: it is not whole again in a minute.
    """
    match fault.kind:
        case Kind.KILL:
            role = stage.roles[fault.names[0]]
            await role.kill()
            await asyncio.sleep(fault.seconds)
            await role.start()
        case Kind.PAUSE:
            role = stage.roles[fault.names[0]]
            role.pause()
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                role.resume()
        case Kind.CUT:
            one, other = fault.names
            stage.network.cut(one, other)
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                stage.network.mend(one, other)
    await stage.until_whole(_WHOLE_SECONDS)


def _of_processes() -> Iterator[tuple[Kind, tuple[str, ...], float]]:
    for role in ("replica", "router", REDIS):
        yield Kind.KILL, (role,), 2.0
    for role, seconds in (("replica", 8.0), ("router", 8.0), (REDIS, 4.0)):
        yield Kind.PAUSE, (role,), seconds


def _of_ways() -> Iterator[tuple[Kind, tuple[str, ...], float]]:
    for roles in (("replica", "router"), ("replica", REDIS), ("router", REDIS), (CLIENT, "router")):
        yield Kind.CUT, roles, 8.0


def _at_random(
    kinds: Sequence[tuple[Kind, tuple[str, ...], float]], rng: random.Random
) -> Iterator[tuple[Kind, tuple[str, ...], float]]:
    while True:
        kind, roles, seconds = rng.choice(kinds)
        yield kind, roles, round(seconds * rng.uniform(0.25, 1.5), 1)


def _pick(role: str, cast: Cast, *, rng: random.Random, spared: Sequence[str]) -> str:
    names = {"replica": cast.replicas, "router": cast.routers}.get(role, (role,))
    return rng.choice([name for name in names if name not in spared])
