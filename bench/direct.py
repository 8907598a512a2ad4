"""What a router costs for each token in routed and in direct mode, side by side.

One replica streams as fast as it is read; one router stands before it; one client of the SDK keeps streams open,
through the router and from the replica itself, in turns, several rounds, so that what else the machine does hits both
alike.
Reported are medians over the rounds. The client, which parses what it reads, shares the machine and bounds tokens/s.

    router CPU per token     of long streams: what relaying costs, or not; a place costs the same for any length
    router CPU per request   of streams of one token: a place, or a whole stream

CPU is beyond what the idle router takes, which asks its replicas ten times a second.

    python bench/direct.py [--rounds 5] [--tokens 512] [--seconds 2] [--json]
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from niyama_client import Client, Mode, Sampling

from router import cpu_seconds, stage

CONCURRENCY = 16
MODES = (Mode.ROUTED, Mode.DIRECT)


@dataclass(frozen=True, slots=True)
class Round:
    """What went through in one round of one mode.

    Attributes:
        num_requests: streams that ended.
        num_tokens: tokens that were read.
        seconds: how long it took.
        router_cpu: CPU seconds that the router took for it.
    """

    num_requests: int
    num_tokens: int
    seconds: float
    router_cpu: float


class Meter:
    """Reads what a router takes beyond what it takes when idle."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._idle_share = 0.0

    async def tare(self, seconds: float) -> None:
        """Look at the idle router for so long."""
        cpu = cpu_seconds(self._pid)
        await asyncio.sleep(seconds)
        self._idle_share = (cpu_seconds(self._pid) - cpu) / seconds

    def read(self, now: float) -> float:
        """Return CPU seconds, of which only differences mean anything."""
        return cpu_seconds(self._pid) - self._idle_share * now


async def measure(client: Client, mode: Mode, *, num_tokens: int, seconds: float, meter: Meter) -> Round:
    """Keep streams open for so long."""
    counts: list[int] = []
    began = time.perf_counter()
    cpu = meter.read(began)

    async def keep_going() -> None:
        # The eager replica sends as many tokens as the seed says.
        while time.perf_counter() - began < seconds:
            generation = client.generate("x" * 2000, mode=mode, sampling=Sampling(seed=num_tokens))
            counts.append(sum([1 async for _ in generation]))

    await asyncio.gather(*(keep_going() for _ in range(CONCURRENCY)))
    ended = time.perf_counter()
    return Round(len(counts), sum(counts), ended - began, max(0.0, meter.read(ended) - cpu))


async def run(rounds: int, num_tokens: int, *, seconds: float) -> dict[str, object]:
    """Measure both modes in turns and return the figures."""
    long: dict[Mode, list[Round]] = {mode: [] for mode in MODES}
    short: dict[Mode, list[Round]] = {mode: [] for mode in MODES}
    async with stage() as (_, contenders):
        router = contenders[1]
        meter = Meter(router.pid)
        await meter.tare(2 * seconds)
        async with Client(router.address) as client:
            for number in range(rounds + 1):
                for mode in MODES if number % 2 else MODES[::-1]:
                    for kind, length in ((long, num_tokens), (short, 1)):
                        took = await measure(client, mode, num_tokens=length, seconds=seconds, meter=meter)
                        # The first round warms up.
                        if number:
                            kind[mode].append(took)
    return figures(long, short, num_tokens=num_tokens)


def figures(
    long: Mapping[Mode, Sequence[Round]], short: Mapping[Mode, Sequence[Round]], *, num_tokens: int
) -> dict[str, object]:
    """Return medians over the rounds, by mode."""
    return {
        "tokens_per_stream": num_tokens,
        "concurrency": CONCURRENCY,
        "rounds": len(long[Mode.ROUTED]),
        "modes": {mode.value: _medians(long[mode], short[mode]) for mode in MODES},
    }


def _medians(long: Sequence[Round], short: Sequence[Round]) -> Mapping[str, float]:
    median = statistics.median
    return {
        "tokens_per_s": median(each.num_tokens / each.seconds for each in long),
        "router_cpu_us_per_token": median(1e6 * each.router_cpu / each.num_tokens for each in long),
        "router_cpu_share": median(each.router_cpu / each.seconds for each in long),
        "requests_per_s": median(each.num_requests / each.seconds for each in short),
        "router_cpu_us_per_request": median(1e6 * each.router_cpu / each.num_requests for each in short),
    }


def table(results: Mapping[str, object]) -> str:
    """Return the figures for a person."""
    modes = results["modes"]
    assert isinstance(modes, dict)
    routed, direct = modes[Mode.ROUTED.value], modes[Mode.DIRECT.value]
    lines = [f"{'':28}{'routed':>12}{'direct':>12}{'ratio':>8}"]
    for name in routed:
        ratio = direct[name] / routed[name] if routed[name] else float("nan")
        lines.append(f"{name:28}{routed[name]:12,.2f}{direct[name]:12,.2f}{ratio:8.2f}")
    return "\n".join(lines)


def main() -> None:
    """Parse the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=512, help="of a long stream, at most 4096")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round, mode and kind of stream")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = asyncio.run(run(options.rounds, options.tokens, seconds=options.seconds))
    print(json.dumps(results, indent=2) if options.json else table(results))


if __name__ == "__main__":
    main()
