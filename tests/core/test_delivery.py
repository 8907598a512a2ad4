"""What the closing message says of an answer."""

import pytest
from niyama_core.delivery import Delivery, Relegation
from niyama_core.slo import Batch, Interactive, Promise

CHAT = Promise("chat", Interactive(ttft=1.0, tbt=0.1))
JOB = Promise("job", Batch(ttlt=10.0))


def delivered(promise: Promise, *instants: float, num_before: int = 0) -> Delivery:
    """Return what was given of a request that arrived at 100, by seconds since then."""
    delivery = Delivery(promise, 100.0, num_before)
    delivery.take(100.0 + instant for instant in instants)
    return delivery


def test_times_count_from_the_arrival() -> None:
    delivery = delivered(CHAT, 0.5, 0.6, 0.9)
    assert delivery.ttft == pytest.approx(0.5)
    assert delivery.ttlt == pytest.approx(0.9)
    assert delivery.largest_tbt == pytest.approx(0.3)


def test_one_token_has_no_gap() -> None:
    assert delivered(CHAT, 0.5).largest_tbt is None


def test_an_early_first_token_leaves_its_unused_time_to_the_next_ones() -> None:
    assert delivered(CHAT, 0.1, 1.09, 1.19).num_late_tokens == 0
    assert delivered(CHAT, 0.1, 1.11, 1.19).num_late_tokens == 1


def test_after_a_late_first_token_the_others_are_due_from_then_on() -> None:
    delivery = delivered(CHAT, 3.0, 3.09, 3.21)
    assert delivery.num_late_tokens == 2
    assert not delivery.is_on_time


def test_an_interactive_promise_is_its_first_token_and_a_batch_promise_its_last() -> None:
    assert delivered(CHAT, 0.9, 50.0).is_on_time
    assert delivered(JOB, 2.0, 9.9).is_on_time
    assert not delivered(JOB, 2.0, 10.1).is_on_time


def test_batch_tokens_are_never_late() -> None:
    assert delivered(JOB, 20.0, 30.0).num_late_tokens == 0


def test_of_an_answer_begun_elsewhere_the_first_token_is_not_known() -> None:
    delivery = delivered(CHAT, 1.25, 1.45, num_before=3)
    assert delivery.ttft is None
    assert delivery.num_tokens == 2
    # Tokens 3 and 4 are due at 1.3 and 1.4: the promise goes on counting where it was.
    assert delivery.num_late_tokens == 1
    assert delivery.is_on_time


def test_the_first_relegation_is_the_one_that_counts() -> None:
    delivery = delivered(CHAT)
    delivery.relegate(before_first_token=True)
    delivery.relegate(before_first_token=False)
    assert delivery.relegation is Relegation.BEFORE_FIRST_TOKEN
