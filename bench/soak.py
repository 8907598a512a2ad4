"""Whether a cluster stays as it is: steady load and faults at random, for as long as one likes.

    python -m bench.soak --minutes 30

The cluster and the faults of `bench.losses`, at 70 % of the load that it just carries under them: beyond 0.65 of the
prefill rate requests pile up, and with them memory. One router and one replica are never killed, so that their memory
and file descriptors are seen over the whole time. Exits with 1 when either grows, or when anything is lost. Three
minutes show a leak of four megabytes a minute; thirty, one of 400 kB.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence

from bench.losses.account import account_of, as_text
from bench.losses.network import cannot_cut, enter_namespace
from bench.losses.ordeal import OrdealPlan, go_through
from bench.losses.stage import Cast
from bench.losses.steadiness import Steadiness, Watcher


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments, run and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--load", type=float, default=0.45, help="share of the prefill rate (default 0.45)")
    parser.add_argument("--seed", type=int, default=1, help="of traffic and faults")
    options = parser.parse_args(arguments)
    can_cut = not cannot_cut()
    if can_cut:
        enter_namespace()
    cast, watcher = Cast(), Watcher()
    plan = OrdealPlan(
        cast=cast,
        load=options.load,
        num_requests=None,
        seconds=60 * options.minutes,
        seed=options.seed,
        can_cut=can_cut,
        spared=(cast.routers[0], cast.replicas[0]),
    )
    account = account_of(asyncio.run(go_through(plan, watching=watcher.watching)))
    judged = watcher.judged()
    print(f"{as_text(account)}\n\n{table(judged)}")
    return 0 if account.is_well and all(steadiness.is_flat for steadiness in judged.values()) else 1


def table(judged: Mapping[tuple[str, int], Steadiness]) -> str:
    """Return what the processes held, for a person."""
    lines = [f"{'process':20}{'memory':>10}{'growth':>10}{'files':>8}{'more':>6}"]
    for (name, pid), one in judged.items():
        lines.append(
            f"{f'{name} ({pid})':20}{one.memory / 1e6:7.1f} MB{one.growth / 1e6:7.1f} MB{one.num_files:8.0f}"
            f"{one.more_files:6.0f}{'' if one.is_flat else '  grows'}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
