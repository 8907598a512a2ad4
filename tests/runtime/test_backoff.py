"""Delays between attempts."""

import random

from hypothesis import given
from hypothesis import strategies as st
from niyama_runtime.backoff import Backoff


@given(st.integers(), st.integers(1, 30))
def test_delays_grow_to_the_cap_and_are_never_in_step(seed: int, num_failures: int) -> None:
    backoff = Backoff(0.1, 2.0, rng=random.Random(seed))
    for failure in range(num_failures):
        longest = min(2.0, 0.1 * 2**failure)
        assert longest / 2 <= backoff.next_delay() <= longest


def test_a_success_begins_anew() -> None:
    backoff = Backoff(0.1, 2.0)
    for _ in range(10):
        backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() <= 0.1
