"""Promises that no replica could keep."""

import pytest
from niyama_core.slo import Batch, Interactive, Promise, Slo
from niyama_eval.feasibility import Doubt, cut_share, doubts
from niyama_eval.workloads import WorkloadRequest

from tests.builders import SteadyLaw

LAW = SteadyLaw(seconds=0.01, seconds_per_token=0.0001)
"""A prompt of 1,000 tokens takes 110 ms, each further token 10.1 ms."""


def asked(slo: Slo, *, prompt: int = 1000, output: int = 11) -> WorkloadRequest:
    return WorkloadRequest("r", 0.0, prompt, output, Promise("person", slo), "app")


def found(slo: Slo) -> list[Doubt]:
    return list(doubts([asked(slo)], LAW))


def test_a_first_token_sooner_than_an_iteration_with_the_prompt_is_in_doubt() -> None:
    (doubt,) = found(Interactive(ttft=0.1, tbt=0.05))
    assert (doubt.promise, doubt.share, doubt.counts_as_violation) == ("ttft", 1.0, True)
    assert doubt.needed == pytest.approx(0.11)
    assert not found(Interactive(ttft=0.12, tbt=0.05))


def test_a_gap_shorter_than_a_decode_iteration_is_in_doubt_and_no_violation() -> None:
    (doubt,) = found(Interactive(ttft=1.0, tbt=0.01))
    assert (doubt.promise, doubt.counts_as_violation) == ("tbt", False)


def test_an_answer_of_one_token_has_no_gap_to_be_late() -> None:
    assert not doubts([asked(Interactive(ttft=1.0, tbt=0.001), output=1)], LAW)


def test_a_whole_answer_takes_its_prompt_and_every_further_token() -> None:
    (doubt,) = found(Batch(ttlt=0.2))
    assert doubt.needed == pytest.approx(0.11 + 10 * 0.0101)
    assert not found(Batch(ttlt=0.22))


def test_a_few_requests_that_are_too_long_are_tolerated() -> None:
    requests = [asked(Batch(ttlt=1.0)) for _ in range(98)] + [asked(Batch(ttlt=1.0), prompt=20_000) for _ in range(2)]
    assert not doubts(requests, LAW, tolerated=0.02)
    (doubt,) = doubts(requests, LAW, tolerated=0.01)
    assert doubt.share == pytest.approx(0.02)
    assert "2.0% of the requests" in str(doubt)


def test_a_doubt_says_class_promise_and_what_to_promise_instead() -> None:
    (doubt,) = found(Interactive(ttft=0.005, tbt=0.05))
    said = str(doubt)
    for word in ("class person", "ttft 5ms", "every request", "promise at least 110ms"):
        assert word in said


def test_requests_that_fill_the_context_are_those_that_were_cut() -> None:
    requests = [asked(Batch(ttlt=1.0), prompt=90, output=10), asked(Batch(ttlt=1.0), prompt=80, output=10)]
    assert cut_share(requests, 100) == 0.5
    assert cut_share([], 100) == 0
