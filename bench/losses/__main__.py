"""Whether anything is lost: a real cluster under faults, each answer compared with that of an undisturbed run.

    python -m bench.losses
    python -m bench.losses --requests 200 --seed 7 --json

Three paced replicas, two routers and a Redis run as processes; clients of the SDK, and some plain gRPC clients, send
requests of three classes. Processes are killed, hang, and, where this is root on Linux, cannot reach one another: each
kind of fault once, then at random until the requests are through. Exits with 1 when a request is lost, an answer
differs, or a client of the SDK sees an error.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.losses.account import account_of, as_json, as_text
from bench.losses.network import cannot_cut, enter_namespace
from bench.losses.ordeal import OrdealPlan, go_through
from bench.losses.stage import Cast


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments, run and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--load", type=float, default=0.35, help="share of the prefill rate (default 0.35)")
    parser.add_argument("--seed", type=int, default=1, help="of traffic and faults")
    parser.add_argument("--no-partitions", action="store_true")
    parser.add_argument("--folder", type=Path, help="keep configuration files and logs there")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    can_cut = not options.no_partitions and _enter_namespace()
    plan = OrdealPlan(
        cast=Cast(num_replicas=options.replicas),
        load=options.load,
        num_requests=options.requests,
        seed=options.seed,
        can_cut=can_cut,
        folder=options.folder,
    )
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    ordeal = asyncio.run(go_through(plan))
    account = account_of(ordeal)
    print(json.dumps(as_json(account), indent=2) if options.json else as_text(account))
    for stream in ordeal.streams:
        if stream.difference or (stream.error and not stream.is_plain):
            sys.stderr.write(f"request {stream.number} ({stream.qos_class}): {stream.error} {stream.difference}\n")
    return 0 if account.is_well else 1


def _enter_namespace() -> bool:
    """Return whether there can be partitions, and say why not."""
    why = cannot_cut()
    if why:
        sys.stderr.write(f"no partitions: {why}\n")
        return False
    enter_namespace()
    return True


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
