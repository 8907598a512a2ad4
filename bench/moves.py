"""Do moves pay? A skewed load on real processes, with and without rescue of relegated requests.

    python -m bench.moves [--load 0.8] [--seconds 90] [--rounds 3] [--placement niyama --placement round-robin] [--json]

One replica of four is slower than the others, and twice in the run as many requests as the cluster serves in some
seconds come at once. `--load` is a share of what the replicas carry with their speeds. Each round runs the same
requests with `maxMoves: 0` and with `maxMoves: 2`, in turns. Violations are of all requests.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from niyama_cli.load_generator import LoadSettings, run_workload
from niyama_eval.outcomes import RequestOutcome
from niyama_eval.workloads import WorkloadRequest

from bench.cluster_stage import Stage

SLOW_REPLICA, SLOWNESS = "replica-0", 0.3
BURST_AT, BURST_SECONDS = (0.25, 0.6), 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one placement: violations of all requests and moves, as shares, in the median of the rounds."""

    placement: str
    num_requests: int
    violations_without: float
    violations_with: float
    moved: float

    @property
    def ratio(self) -> float:
        """Violations with rescue, as a share of those without."""
        return self.violations_with / self.violations_without if self.violations_without else 1.0


def with_bursts(requests: Sequence[WorkloadRequest], *, seconds: float, qps: float) -> list[WorkloadRequest]:
    """Return the requests with those that follow on each burst's instant drawn together into it."""
    bursts = [share * seconds for share in BURST_AT]
    num = int(BURST_SECONDS * qps)
    drawn = list(requests)
    for burst in bursts:
        first = next((index for index, one in enumerate(drawn) if one.arrival >= burst), len(drawn))
        drawn[first : first + num] = [replace(one, arrival=burst) for one in drawn[first : first + num]]
    return drawn


async def run(stage: Stage, requests: Sequence[WorkloadRequest]) -> list[RequestOutcome]:
    """Return what came of the requests with one replica slow."""
    async with stage.cluster(replica_speeds={SLOW_REPLICA: SLOWNESS}) as cluster:
        return await run_workload(cluster.router, requests, settings=LoadSettings(replay=True))


def violations(outcomes: Sequence[RequestOutcome]) -> float:
    """Return the share that missed its promise."""
    return sum(not one.is_on_time for one in outcomes) / len(outcomes)


async def compare(stage: Stage, requests: Sequence[WorkloadRequest], *, rounds: int) -> Row:
    """Run with and without moves, in turns."""
    without, moving, moved = [], [], []
    for number in range(rounds):
        for max_moves in (0, 2) if number % 2 else (2, 0):
            outcomes = await run(replace(stage, max_moves=max_moves), requests)
            print(f"{stage.placement}, {max_moves} moves: {violations(outcomes):.1%} missed", file=sys.stderr)
            (moving if max_moves else without).append(violations(outcomes))
            if max_moves:
                moved.append(sum(one.num_moves > 0 for one in outcomes) / len(outcomes))
    return Row(
        placement=stage.placement,
        num_requests=len(requests),
        violations_without=statistics.median(without),
        violations_with=statistics.median(moving),
        moved=statistics.median(moved),
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| placement | requests | missed without | missed with | ratio | moved |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for one in rows:
        shares = " | ".join(f"{100 * share:.1f} %" for share in (one.violations_without, one.violations_with))
        lines.append(f"| {one.placement} | {one.num_requests} | {shares} | {one.ratio:.2f} | {100 * one.moved:.1f} % |")
    return "\n".join(lines)


async def main() -> None:
    """Parse the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=float, default=0.8, help="share of what the replicas carry")
    parser.add_argument("--seconds", type=float, default=90.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--placement", action="append", help="may be repeated; niyama and round-robin unless given")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    usual = Stage()
    carried = (await usual.saturation()).throughput * (usual.replicas - 1 + SLOWNESS) / usual.replicas
    qps = options.load * carried
    requests = with_bursts(usual.requests(qps=qps, seconds=options.seconds), seconds=options.seconds, qps=qps)
    placements = options.placement or ["niyama", "round-robin"]
    rows = [await compare(replace(usual, placement=name), requests, rounds=options.rounds) for name in placements]
    print(json.dumps([asdict(one) for one in rows], indent=1) if options.json else table(rows))


if __name__ == "__main__":
    asyncio.run(main())
