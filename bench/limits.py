"""The bounds of docs/limits.md, computed again: requests per second, and violations under overload.

python bench/limits.py
"""

from functools import partial

from niyama_core.profiles import PROFILES
from niyama_core.slo import default_classes
from niyama_eval.assessment import LONG_PROMPT_TOKENS
from niyama_eval.limits import Iterations, Limit, stationary_limit
from niyama_eval.overload_floor import fairest_late, fewest_late, fewest_late_of_lengths, floor
from niyama_eval.settings import WorkloadSettings
from niyama_eval.workloads import WorkloadRequest, generate_seeded

WORKLOADS = ("azure-code-2024", "azure-conv-2024", "sharegpt")
LARGEST = (2552, 8192)
NUM_REQUESTS = 50_000


def traffic(workload: str, *, qps: float, num_requests: int) -> tuple[WorkloadRequest, ...]:
    """Return requests of a workload, cut to the context of the profile."""
    asked = WorkloadSettings(
        workloads=(workload,), qps=qps, num_requests=num_requests, low_importance=0.0, context_tokens=16_384
    )
    return generate_seeded(asked, default_classes(), seed=1)


def limit(requests: tuple[WorkloadRequest, ...], *, profile: str, most: int) -> Limit:
    """Return the stationary limit of such requests."""
    lengths = [(one.num_prompt_tokens, one.num_output_tokens) for one in requests[:NUM_REQUESTS]]
    return stationary_limit(lengths, PROFILES[profile].law, iterations=Iterations(max_tokens=most))


def main() -> None:
    """Print both tables."""
    for profile in ("a100-llama3-8b-published", "a100-llama3-8b", "a100x2-qwen-7b", "h100x4-llama3-70b"):
        for most in LARGEST:
            found = [
                limit(traffic(one, qps=1.0, num_requests=NUM_REQUESTS), profile=profile, most=most).qps
                for one in WORKLOADS
            ]
            print(f"{profile:26} {most:5} tokens  " + "  ".join(f"{qps:6.3f}" for qps in found))
    for num_requests in (60_000, 150_000):
        requests = traffic("azure-code-2024", qps=6.0, num_requests=num_requests)
        prices = limit(requests, profile="a100-llama3-8b-published", most=8192).prices
        longs = partial(fewest_late_of_lengths, long_tokens=LONG_PROMPT_TOKENS)
        floors = [floor(requests, prices, late=rule) for rule in (fewest_late, longs, fairest_late)]
        print(f"Code, 6 a second, {num_requests:,}: " + "  ".join(f"{one:.2%}" for one in floors))


if __name__ == "__main__":
    main()
