"""How real iterations stray from the law: a seeded factor, so that no policy plans with an oracle."""

import math
import random
from collections.abc import Callable

__all__ = ["Noise", "lognormal_noise", "no_noise"]

Noise = Callable[[], float]
"""Returns the factor on the next iteration's time."""


def no_noise() -> float:
    """Return 1."""
    return 1.0


def lognormal_noise(sigma: float, *, seed: int) -> Noise:
    """Return factors with median 1 whose logarithm has the standard deviation `sigma`."""
    if sigma == 0:
        return no_noise
    rng = random.Random(seed)
    return lambda: math.exp(rng.gauss(0.0, sigma))
