"""When tokens are due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core import deadlines
from niyama_core.deadlines import TokenClock
from niyama_core.slo import Batch, Interactive

from tests.builders import a_batch_request, a_live_request, a_request

CHAT = Interactive(ttft=6.0, tbt=0.05)


def test_an_early_first_token_leaves_its_unused_time_as_slack() -> None:
    clock = TokenClock.started(100.0, CHAT, first_token_at=101.0)
    assert clock.due(0) == 106.0
    assert clock.due(1) == pytest.approx(106.05)


def test_a_late_first_token_moves_the_clock_so_that_slack_is_not_negative_for_ever() -> None:
    clock = TokenClock.started(100.0, CHAT, first_token_at=110.0)
    assert clock.due(1) == pytest.approx(110.05)


def test_a_batch_request_owes_only_its_whole_answer() -> None:
    job = Batch(ttlt=600.0)
    assert deadlines.first_token_deadline(100.0, job) is None
    assert deadlines.answer_deadline(100.0, job) == 700.0
    assert deadlines.service_deadline(100.0, job) == 700.0


def test_an_interactive_request_owes_its_first_token_and_no_whole_answer() -> None:
    assert deadlines.first_token_deadline(100.0, CHAT) == 106.0
    assert deadlines.answer_deadline(100.0, CHAT) is None
    assert deadlines.service_deadline(100.0, CHAT) == 106.0


@given(arrival=st.floats(0, 1e5), wait=st.floats(0, 20), num_tokens=st.integers(1, 100))
def test_the_planner_and_the_token_clock_agree_on_every_token(arrival: float, wait: float, num_tokens: int) -> None:
    live = a_live_request(a_request(arrival=arrival))
    live.advance_prefill(1000, arrival + wait)
    live.advance_decode(num_tokens - 1)
    clock = TokenClock.started(arrival, CHAT, first_token_at=arrival + wait)
    assert live.next_due == pytest.approx(clock.due(num_tokens))


def test_a_batch_prefill_is_due_early_enough_to_decode_the_answer() -> None:
    live = a_live_request(a_batch_request(ttlt=600.0), decode_seconds=30.0)
    assert (live.due, live.prefill_due) == (600.0, 570.0)
