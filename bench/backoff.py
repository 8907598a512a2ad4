"""Do those who come back when told find room? On real processes, under overload, with classes that refuse.

    python -m bench.backoff [--load 1.5] [--load 2] [--routers 1 --routers 2] [--seconds 120] [--obey 0.5] [--json]

Whoever is refused comes back once, after what `RetryInfo` said and up to a tenth more, as the SDK does; with `--obey` a
share of them, the others give up. *No time* is the share refused without an appointment, because nobody could tell when
there will be room; they do not come back. *First time* is the share of those who came back that was let in then, *told*
the median of what they were told. Beside it: the share of all that was let in at once, and what of those let in was on
time in the later half of the run, of the class that fared worst.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from niyama_cli.filler_text import FillerText
from niyama_client import Client, NiyamaError, OverloadedError
from niyama_eval.workloads import WorkloadRequest

from bench.cluster_stage import Stage, routers_of

JITTER = 0.1
BYTES_PER_TOKEN = 4.0
# Short, so that an overload of a minute or two reaches what nobody can keep.
BATCH_TTLTS = (8.0, 16.0)


@dataclass(slots=True)
class Tally:
    """What came of the requests of one run.

    Attributes:
        let_in: at once.
        num_untold: refused without an appointment, because nobody could tell when there will be room.
        told: seconds, of each other who was refused.
        came_back: whether each who came back was let in.
        on_time: whether each that was let in kept its promise, by class, in the order of their ends.
        failures: by reason, of what else went wrong.
    """

    let_in: int = 0
    num_untold: int = 0
    told: list[float] = field(default_factory=list)
    came_back: list[bool] = field(default_factory=list)
    on_time: dict[str, list[bool]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a run came to; shares, and seconds in the median."""

    load: float
    routers: int
    num_requests: int
    let_in: float
    untold: float
    told_s: float
    num_came_back: int
    first_time: float | None
    on_time: float
    num_failed: int


@dataclass(frozen=True, slots=True)
class Visitor:
    """Sends requests, and comes back when told."""

    client: Client
    tally: Tally
    text: FillerText
    obey: float
    rng: random.Random

    async def visit(self, request: WorkloadRequest) -> None:
        """Send a request; once more if it is refused with an appointment."""
        refusal = await self._ask(request)
        if refusal is None:
            self.tally.let_in += 1
            return
        appointment, told = refusal.metadata.get("appointment"), refusal.retry_after or 0.0
        if appointment is None:
            self.tally.num_untold += 1
            return
        self.tally.told.append(told)
        if self.rng.random() < self.obey:
            await asyncio.sleep(told * (1 + JITTER * self.rng.random()))
            self.tally.came_back.append(await self._ask(request, appointment) is None)

    async def _ask(self, request: WorkloadRequest, appointment: str = "") -> OverloadedError | None:
        """Return None when the request was let in, after its end; else the refusal."""
        generation = self.client.generate(
            self.text.prompt(request.request_id, request.num_prompt_tokens),
            qos=request.promise.qos_class,
            max_tokens=request.num_output_tokens,
            request_id=request.request_id,
            appointment=appointment,
        )
        try:
            await generation.text()
        except OverloadedError as error:
            return error
        except NiyamaError as error:
            self.tally.failures.append(error.reason or str(error))
            return None
        done = generation.completion
        self.tally.on_time.setdefault(done.qos_class, []).append(done.on_time)
        return None


async def run(stage: Stage, qps: float, *, seconds: float, obey: float) -> Tally:
    """Send requests at a rate until all have ended."""
    loop, tally = asyncio.get_running_loop(), Tally()
    async with (
        stage.cluster() as cluster,
        Client(routers_of(cluster)) as client,
        asyncio.TaskGroup() as group,
    ):
        visitor = Visitor(client, tally, FillerText(BYTES_PER_TOKEN), obey, random.Random(stage.seed))
        start, visits = loop.time(), []
        for request in stage.requests(qps=qps, seconds=seconds):
            await asyncio.sleep(max(0.0, start + request.arrival - loop.time()))
            visits.append(group.create_task(visitor.visit(request)))
        await asyncio.gather(*visits)
    return tally


def row(tally: Tally, *, load: float, routers: int) -> Row:
    """Return what the counts come to."""
    num_requests = tally.let_in + tally.num_untold + len(tally.told)
    return Row(
        load=load,
        routers=routers,
        num_requests=num_requests,
        let_in=tally.let_in / num_requests,
        untold=tally.num_untold / num_requests,
        told_s=statistics.median(tally.told) if tally.told else 0.0,
        num_came_back=len(tally.came_back),
        first_time=_share(tally.came_back) if tally.came_back else None,
        on_time=min((_share(ends[len(ends) // 2 :]) for ends in tally.on_time.values()), default=1.0),
        num_failed=len(tally.failures),
    )


def _share(held: Sequence[bool]) -> float:
    return sum(held) / len(held)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| load | routers | requests | let in at once | no time | told | came back | first time | on time | failed |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in rows:
        first = "–" if one.first_time is None else f"{100 * one.first_time:.1f} %"
        shares = " | ".join(f"{100 * share:.0f} %" for share in (one.let_in, one.untold))
        lines.append(
            f"| {one.load:g} | {one.routers} | {one.num_requests} | {shares} | {one.told_s:.1f} s "
            f"| {one.num_came_back} | {first} | {100 * one.on_time:.1f} % | {one.num_failed} |"
        )
    return "\n".join(lines)


async def main() -> None:
    """Parse the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=float, action="append", help="times the saturation throughput; may be repeated")
    parser.add_argument("--routers", type=int, action="append", help="may be repeated; 1 unless given")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each run")
    parser.add_argument("--obey", type=float, default=1.0, help="share of those refused who come back")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    saturation = (await Stage().saturation()).throughput
    rows = []
    for routers in options.routers or (1,):
        for load in options.load or (1.5,):
            print(f"{routers} routers, {load * saturation:.1f} requests/s", file=sys.stderr)
            stage = Stage(routers=routers, on_overload="reject", batch_ttlts=BATCH_TTLTS)
            tally = await run(stage, load * saturation, seconds=options.seconds, obey=options.obey)
            rows.append(row(tally, load=load, routers=routers))
            print(table(rows[-1:]).splitlines()[-1], file=sys.stderr)
    print(json.dumps([asdict(one) for one in rows], indent=1) if options.json else table(rows))


if __name__ == "__main__":
    asyncio.run(main())
