"""How fast the simulator is: iterations a second of one core, and simulated seconds in a second.

    python bench/simulator.py

Counted is the processor's time. *Light* is answers that decode two or three at a time, where an iteration costs little
besides its plan; *busy* is a replica near its limit; *cluster* is 64 replicas behind one router.
"""

import time
from dataclasses import dataclass, replace

from niyama_core.profiles import PROFILES
from niyama_eval.settings import WorkloadSettings
from niyama_eval.workloads import generate_seeded
from niyama_sim.cluster import simulate
from niyama_sim.settings import SimulationSettings


@dataclass(frozen=True, slots=True)
class Scene:
    """What is simulated: traffic at a rate for each replica."""

    name: str
    workload: str
    qps: float
    num_requests: int
    num_replicas: int = 1


SCENES = (
    Scene("light", "sharegpt", 0.1, 200),
    Scene("busy", "sharegpt", 2.0, 2_000),
    Scene("busy", "azure-code-2024", 3.4, 10_000),
    Scene("cluster", "azure-code-2024", 3.4, 40_000, num_replicas=64),
)


def main() -> None:
    """Print a line for each scene and policy."""
    head = ("", "workload", "policy", "iterations", "a second", "x real time", "requests/s")
    print("{:8} {:16} {:13} {:>10} {:>9} {:>11} {:>10}".format(*head))
    for scene in SCENES:
        for policy in ("niyama", "qoserve", "sarathi-fcfs"):
            cluster = SimulationSettings(
                profile=PROFILES["a100-llama3-8b-published"], num_replicas=scene.num_replicas
            ).with_policy(policy)
            asked = WorkloadSettings(
                workloads=(scene.workload,),
                qps=scene.qps * scene.num_replicas,
                num_requests=scene.num_requests,
                context_tokens=cluster.profile.context_tokens,
            )
            requests = generate_seeded(asked, cluster.classes, seed=1)
            begin = time.process_time()
            result = simulate(replace(cluster, seed=1), requests)
            took = time.process_time() - begin
            print(
                f"{scene.name:8} {scene.workload:16} {policy:13} {result.num_iterations:10,} "
                f"{result.num_iterations / took:9,.0f} {result.seconds / took:11,.0f} {len(requests) / took:10,.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
