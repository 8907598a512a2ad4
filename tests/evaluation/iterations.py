"""Iterations as a replica has them, with the times of a law: decodes alone, and chunks of all sizes."""

import math
import random

from niyama_core.latency import IterationShape, LatencyModel
from niyama_eval.iteration_records import IterationRecords

__all__ = ["iterations"]


def iterations(law: LatencyModel, *, num: int, noise: float = 0.0, seed: int = 0) -> IterationRecords:
    """Return so many iterations; the logarithms of their times are off by a normal error of `noise`."""
    rng = random.Random(seed)
    ran, decodes = [], 32
    for _ in range(num):
        decodes = min(128, max(1, decodes + rng.randint(-3, 3)))
        tokens = 0 if rng.random() < 0.3 else rng.choice((128, 256, 512, 1024, 2048)) - rng.randint(0, 100)
        context = rng.randint(0, 2000) if tokens else 0
        mean_context = rng.randint(800, 1600)
        shape = IterationShape(tokens, decodes, decodes * mean_context, context, tokens * (context + tokens / 2))
        seconds = law.iteration_time(shape) * math.exp(rng.gauss(0.0, noise))
        ran.append((shape, seconds))
    return IterationRecords.timed(ran)
