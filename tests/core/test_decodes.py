"""How the decodes constrain the next iteration."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.decodes import DecodeSet, DecodeSurvey
from niyama_core.latency import IterationShape
from niyama_core.request import LiveRequest, Request

from tests.builders import SteadyLaw, a_batch_request, a_live_request, a_request


def a_decoding(request: Request, *, first_token_at: float = 0.0, expected_output: int = 101) -> LiveRequest:
    live = a_live_request(request, expected_output=expected_output)
    live.advance_prefill(request.num_prompt_tokens, first_token_at)
    return live


def a_set(*lives: LiveRequest) -> DecodeSet:
    decodes = DecodeSet(SteadyLaw(seconds=0.01, seconds_per_token=0.0))
    for live in lives:
        decodes.add(live)
    return decodes


def test_the_shape_is_that_of_one_token_each() -> None:
    decodes = a_set(a_decoding(a_request("a", prompt=100)), a_decoding(a_batch_request("b", prompt=50)))
    assert decodes.advance(("a", "b")) == ("a", "b")
    assert decodes.survey(0.1).shape == IterationShape(0, 2, 152)


def test_the_slack_is_that_of_the_tightest() -> None:
    patient, pressed = a_decoding(a_request("patient", ttft=6.0)), a_decoding(a_request("pressed", ttft=1.0))
    assert a_set(patient, pressed).survey(0.25).slack == pytest.approx(1.05 - 0.25)


def test_a_late_token_is_negative_slack() -> None:
    assert a_set(a_decoding(a_request(ttft=1.0))).survey(3.0).slack == pytest.approx(-1.95)


def test_a_relegated_batch_decode_constrains_nobody() -> None:
    live = a_decoding(a_batch_request(ttlt=10.0))
    assert a_set(live).survey(0.0).slack == pytest.approx(0.1)
    live.relegate()
    assert a_set(live).survey(0.0).slack == math.inf


def test_a_pace_that_no_iteration_could_keep_does_not_hide_one_that_can_be_kept() -> None:
    hopeless = a_decoding(a_batch_request("hopeless", ttlt=0.5))
    hopeful = a_decoding(a_batch_request("hopeful", ttlt=5.0))
    assert a_set(hopeless, hopeful).survey(0.0).slack == pytest.approx(0.05)


def test_growth_is_what_the_answers_are_expected_to_need_and_at_least_a_token() -> None:
    over = a_decoding(a_request("longer than expected"), expected_output=1)
    assert a_set(over, a_decoding(a_request("other"), expected_output=101)).survey(0.0).growth_tokens == 101


def test_a_removed_decode_constrains_nobody() -> None:
    live = a_decoding(a_request())
    decodes = a_set(live)
    decodes.remove(live)
    decodes.remove(live)
    survey = decodes.survey(0.0)
    assert (len(decodes), decodes.ids(), survey.slack, survey.growth_tokens) == (0, (), math.inf, 0)


def test_whoever_looks_at_a_decode_sees_all_its_tokens() -> None:
    decodes = a_set(a_decoding(a_request("a", prompt=100)))
    for _ in range(3):
        decodes.advance(("a",))
    (live,) = decodes
    assert (live.emitted, live.context_tokens) == (4, 103)
    assert live.next_due == pytest.approx(6.05 + 3 * 0.05)


def test_a_decode_that_an_engine_has_skipped_has_no_token_of_that_round() -> None:
    ran, skipped = a_decoding(a_request("ran", prompt=100)), a_decoding(a_request("skipped", prompt=100))
    decodes = a_set(ran, skipped)
    decodes.advance(decodes.ids())
    assert decodes.advance(("ran", "who has left")) == ("ran",)
    assert [live.emitted for live in decodes] == [3, 2]
    assert decodes.survey(0.0).slack == pytest.approx(skipped.next_due)


def as_seen_one_by_one(decodes: DecodeSet, now: float) -> DecodeSurvey:
    """Return the survey of decodes that are looked at one after the other."""
    lives = list(decodes)
    shape = IterationShape(0, len(lives), sum(live.context_tokens for live in lives))
    due = [live.next_due - now for live in lives if live.tbt is not None]
    paces = [(live.due - now) / live.output_remaining for live in lives if live.tbt is None and not live.relegated]
    slack = min([*due, *(pace for pace in paces if pace > 0.01)], default=math.inf)
    return DecodeSurvey(shape, slack, sum(live.output_remaining for live in lives))


decodings = st.builds(
    lambda chat, time, expected: (a_request(ttft=time) if chat else a_batch_request(ttlt=3 * time), expected),
    st.booleans(),
    st.floats(0.1, 10.0),
    st.integers(1, 8),
)


@given(st.lists(st.one_of(decodings, st.sampled_from(["round", "skip", "leave", "relegate"])), max_size=40))
def test_what_is_counted_over_rounds_is_what_each_decode_would_say(events: list[object]) -> None:
    counted, looked_at = a_set(), a_set()
    for index, event in enumerate(events):
        for decodes in (counted, looked_at):
            ids = decodes.ids()
            match event:
                case "round" | "skip":
                    decodes.advance(ids if event == "round" else ids[1:])
                case "leave" | "relegate" if ids:
                    live = list(decodes)[index % len(ids)]
                    decodes.remove(live) if event == "leave" else live.relegate()
                case (Request() as request, int(expected)):
                    decodes.add(a_decoding(replace(request, request_id=str(index)), expected_output=expected))
                case _:
                    pass
        now = index * 0.03
        survey, expected_survey = counted.survey(now), as_seen_one_by_one(looked_at, now)
        assert (survey.shape, survey.growth_tokens) == (expected_survey.shape, expected_survey.growth_tokens)
        assert survey.slack == pytest.approx(expected_survey.slack)
