"""One run: traffic on a cluster, faults one after the other, and all that was seen meanwhile."""

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.losses.faults import Fault, faults, suffer
from bench.losses.network import Loopback, Namespaces
from bench.losses.stage import Cast, Stage, playing
from bench.losses.streams import MEAN_PROMPT_TOKENS, Stream, Traffic, TrafficPlan

__all__ = ["Happening", "Ordeal", "OrdealPlan", "go_through"]

# Between two faults, so that streams are what they were before the next one.
_REST_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdealPlan:
    """What a run is made of.

    Attributes:
        cast: who plays.
        load: prompt tokens that are asked for, as a share of what the replicas prefill when they do nothing else; with
            answers between and under faults they carry two thirds of that.
        num_requests: after which the run ends; None for no bound.
        seconds: after which it ends; None for no bound.
        seed: of traffic and faults.
        can_cut: whether there are partitions among the faults.
        spared: processes that are never killed.
        folder: where configuration files and logs are kept; None for nowhere.
    """

    cast: Cast = field(default_factory=Cast)
    load: float = 0.35
    num_requests: int | None = 1000
    seconds: float | None = None
    seed: int = 1
    can_cut: bool = False
    spared: Sequence[str] = ()
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """A fault, and the instants at which it began, ended, and at which the cluster was whole again."""

    fault: Fault
    began: float
    ended: float
    whole: float


@dataclass(slots=True)
class Ordeal:
    """What was seen."""

    streams: Sequence[Stream] = ()
    happenings: list[Happening] = field(default_factory=list)
    seconds: float = 0.0


@contextlib.asynccontextmanager
async def _nothing(stage: Stage) -> AsyncIterator[None]:
    yield


async def go_through(
    plan: OrdealPlan, *, watching: Callable[[Stage], contextlib.AbstractAsyncContextManager[None]] = _nothing
) -> Ordeal:
    """Run and return what was seen; `watching` lasts as long as the traffic.

    Raises:
        TimeoutError: the cluster was not whole in time, at the start or after a fault.
    """
    network = Namespaces if plan.can_cut else Loopback
    with tempfile.TemporaryDirectory(prefix="niyama-losses-") as folder:
        async with playing(plan.cast, network, folder=plan.folder or Path(folder)) as stage:
            per_second = plan.load * await stage.prefill_rate() / MEAN_PROMPT_TOKENS
            _say(f"{per_second:.1f} requests a second on {plan.cast.num_replicas} replicas, seed {plan.seed}")
            traffic = Traffic(
                TrafficPlan(per_second=per_second, num_requests=plan.num_requests, seed=plan.seed),
                [stage.network.address(router) for router in plan.cast.routers],
            )
            async with watching(stage):
                return await _go_on(plan, stage, traffic)


async def _go_on(plan: OrdealPlan, stage: Stage, traffic: Traffic) -> Ordeal:
    ordeal, began = Ordeal(traffic.streams), time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic.run())
        if plan.seconds is not None:
            asyncio.get_running_loop().call_later(plan.seconds, traffic.end)
        for fault in faults(plan.cast, seed=plan.seed, can_cut=plan.can_cut, spared=plan.spared):
            await asyncio.sleep(_REST_SECONDS)
            if traffic.is_over:
                break
            ordeal.happenings.append(await _happen(fault, stage))
            _say(f"{time.monotonic() - began:5.0f} s, {len(traffic.streams):5} requests: {fault}")
    ordeal.seconds = time.monotonic() - began
    return ordeal


async def _happen(fault: Fault, stage: Stage) -> Happening:
    began = time.monotonic()
    await suffer(fault, stage)
    return Happening(fault, began, began + fault.seconds, time.monotonic())


def _say(text: str) -> None:
    """Tell how far the run is, beside what it prints in the end."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
