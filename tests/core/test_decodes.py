"""How the decodes constrain the next iteration."""

import math

import pytest
from niyama_core.decodes import DecodeSet
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
    for live in decodes:
        live.advance_decode(0.1)
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
