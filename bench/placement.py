"""The time to place one request, by the number of replicas.

    python bench/placement.py

Loads are drawn at random once: interactive and batch work waits everywhere. A router places on a snapshot in memory,
so this is all the time that a request spends in choosing its replica. Counted is the processor's time of the thread.
"""

import time
from collections.abc import Sequence

import numpy as np
from niyama_core.load import ClassLoad, ReplicaLoad
from niyama_core.placement import PLACEMENTS, Candidate, PlacementRequest, build_placement, place
from niyama_core.slo import QosClasses, default_classes

NUM_REQUESTS = 2_000


def cluster(num_replicas: int, classes: QosClasses) -> Sequence[Candidate]:
    """Return replicas with work of every class."""
    rng = np.random.default_rng(1)
    return [
        Candidate(
            ReplicaLoad(
                replica=f"replica-{index}",
                address=f"replica-{index}:1",
                classes={
                    name: ClassLoad(queued_prefill_tokens=int(rng.integers(0, 50_000)), num_queued=10, num_decoding=10)
                    for name in classes.by_name
                },
                prefill_tokens_per_second=10_000.0,
                iteration_seconds=0.05,
            )
        )
        for index in range(num_replicas)
    ]


def milliseconds(policy: str, candidates: Sequence[Candidate], classes: QosClasses) -> Sequence[float]:
    """Return the time of each of many placements."""
    rule = build_placement(policy, classes, num_routers=4)
    promises = [one.promise() for one in classes]
    taken = []
    for number in range(NUM_REQUESTS):
        request = PlacementRequest(promises[number % len(promises)], 1000 + number, expected_output_tokens=100)
        begin = time.thread_time()
        place(request, candidates, policy=rule)
        taken.append(1000 * (time.thread_time() - begin))
    return taken


def main() -> None:
    """Print a line for each policy and number of replicas."""
    classes = default_classes()
    print(f"{'milliseconds':14} {'replicas':>8} {'p50':>8} {'p99':>8}")
    for policy in PLACEMENTS:
        for num_replicas in (4, 64, 256):
            taken = milliseconds(policy, cluster(num_replicas, classes), classes)
            p50, p99 = np.percentile(taken, [50, 99])
            print(f"{policy:14} {num_replicas:8} {p50:8.3f} {p99:8.3f}")


if __name__ == "__main__":
    main()
