"""Whether a request kept its promise, and which of its tokens were late."""

from array import array
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.slo import Batch, Importance, Interactive, Promise
from niyama_eval.outcomes import OutcomeState, Relegation, RequestOutcome, num_late_tokens
from niyama_eval.workloads import WorkloadRequest

CHAT = Interactive(ttft=1.0, tbt=0.1)
REQUEST = WorkloadRequest("r0", 3.0, 100, 4, Promise("chat", CHAT, Importance.LOW), "office")


def test_an_early_first_token_leaves_its_unused_time_to_those_that_follow() -> None:
    assert num_late_tokens([0.2, 1.1, 1.2], CHAT) == 0


def test_tokens_are_due_from_the_promised_first_token_on() -> None:
    assert num_late_tokens([1.0, 1.1, 1.25, 1.3], CHAT) == 1


def test_after_a_late_first_token_the_clock_starts_at_it() -> None:
    assert num_late_tokens([5.0, 5.1, 5.2], CHAT) == 1
    assert num_late_tokens([5.0, 5.15, 5.2], CHAT) == 2


def test_a_token_on_the_dot_is_on_time_whatever_floats_make_of_it() -> None:
    assert num_late_tokens([1.0 + 0.1 * n for n in range(1000)], CHAT) == 0


def test_tokens_of_a_batch_request_are_never_late() -> None:
    assert num_late_tokens([100.0, 200.0], Batch(ttlt=1.0)) == 0


gaps = st.lists(st.floats(0.0, 0.5), min_size=1, max_size=40)


@given(gaps)
def test_late_tokens_are_those_after_their_due_time(steps: list[float]) -> None:
    emitted = [sum(steps[: n + 1]) for n in range(len(steps))]
    anchor = max(CHAT.ttft, emitted[0])
    by_the_book = [emitted[0] > CHAT.ttft + 1e-6]
    by_the_book += [time > anchor + n * CHAT.tbt + 1e-6 for n, time in enumerate(emitted) if n]
    assert num_late_tokens(emitted, CHAT) == sum(by_the_book)


def test_an_outcome_carries_what_follows_from_its_tokens() -> None:
    outcome = RequestOutcome.of(
        REQUEST,
        OutcomeState.COMPLETED,
        emitted=[0.5, 1.05, 1.9],
        relegation=Relegation.AFTER_FIRST_TOKEN,
        num_moves=1,
        replica="llama-0",
    )
    assert (outcome.ttft, outcome.ttlt, outcome.num_late_tokens) == (0.5, 1.9, 1)
    assert (outcome.qos_class, outcome.slo, outcome.importance) == ("chat", CHAT, Importance.LOW)
    assert (outcome.arrival, outcome.num_prompt_tokens, outcome.num_output_tokens) == (3.0, 100, 4)
    assert outcome.emitted == array("d", [0.5, 1.05, 1.9])


def test_an_answer_that_was_cut_off_has_a_first_token_and_no_last() -> None:
    outcome = RequestOutcome.of(REQUEST, OutcomeState.FAILED, emitted=[0.5, 1.05])
    assert (outcome.ttft, outcome.ttlt) == (0.5, None)


@pytest.mark.parametrize("state", [OutcomeState.REJECTED, OutcomeState.FAILED, OutcomeState.LOST])
def test_only_a_completed_request_is_on_time(state: OutcomeState) -> None:
    kept = RequestOutcome.of(REQUEST, OutcomeState.COMPLETED, emitted=[0.5, 9.0])
    assert kept.is_on_time
    assert not replace(kept, state=state).is_on_time
    assert not RequestOutcome.of(REQUEST, OutcomeState.COMPLETED).is_on_time


def test_an_interactive_request_is_on_time_by_its_first_token_a_batch_request_by_its_last() -> None:
    late_end = RequestOutcome.of(REQUEST, OutcomeState.COMPLETED, emitted=[0.9, 50.0])
    late_start = RequestOutcome.of(REQUEST, OutcomeState.COMPLETED, emitted=[1.1, 1.2])
    assert (late_end.is_on_time, late_start.is_on_time) == (True, False)
    batch = replace(late_end, slo=Batch(ttlt=50.0))
    assert batch.is_on_time
    assert not replace(batch, slo=Batch(ttlt=49.9)).is_on_time
