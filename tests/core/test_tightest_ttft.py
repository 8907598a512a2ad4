"""Iterations leave those who may come the time to be served."""

import math

from niyama_core.tightest_ttft import TightestTtft

from tests.builders import a_batch_request, a_planner, a_request
from tests.core.fake_replica import FakeReplica


def test_the_least_of_the_last_ten_minutes_counts() -> None:
    tightest = TightestTtft()
    assert tightest.seconds(0.0) == math.inf
    for arrival, ttft in ((0.0, 2.0), (100.0, 6.0), (200.0, 4.0), (300.0, 5.0)):
        tightest.expect(ttft, arrival)
    assert [tightest.seconds(now) for now in (300.0, 599.0, 601.0, 799.0, 801.0, 1000.0)] == [2, 2, 4, 4, 5, math.inf]


def largest_after(ttft: float | None, policy: str = "niyama") -> int:
    """Serve one request with such a TTFT, then a long job; return the largest chunk of the job."""
    replica = FakeReplica(a_planner(policy), kv_tokens=100_000)
    if ttft is not None:
        replica.submit(a_request(ttft=ttft, prompt=100), true_output=2)
        replica.run_until_idle()
    replica.submit(a_batch_request(prompt=30_000, arrival=replica.now), true_output=1)
    return replica.step().chunks[0].num_tokens


def test_chunks_are_as_large_as_they_get_where_no_first_token_was_promised_or_there_is_time() -> None:
    assert largest_after(None) == largest_after(6.0) == 8192


def test_chunks_are_smaller_where_first_tokens_are_wanted_sooner() -> None:
    assert 8192 > largest_after(1.0) > largest_after(0.3) > 0


def test_an_iteration_takes_no_more_than_a_quarter_of_the_tightest_ttft() -> None:
    replica = FakeReplica(a_planner(), kv_tokens=100_000)
    replica.submit(a_request(ttft=1.0, prompt=100), true_output=2)
    replica.submit(a_batch_request(prompt=30_000), true_output=1)
    while replica.live:
        assert replica.step().predicted_seconds <= 0.25


def test_the_published_policy_takes_its_largest_chunk_all_the_same() -> None:
    assert largest_after(0.3, "qoserve") == 2552
