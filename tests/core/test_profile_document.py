"""Profiles as documents: whatever is shipped survives, whatever is wrong is told by its field."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.additive_law import AdditiveLaw, Curve
from niyama_core.latency import IterationShape
from niyama_core.manifest_reader import ManifestError
from niyama_core.profile_document import parse_profile, profile_document
from niyama_core.profiles import PROFILES, LatencyProfile

from tests.builders import A100, SteadyLaw

GROWING = Curve.through([(0, 0.01), (256, 0.02), (512, 0.02)], beyond=1e-4)
ADDITIVE = AdditiveLaw(GROWING, Curve(), Curve.through([(0, 0.0)], beyond=1e-7), Curve(), Curve(), 1e-5, 0.004, 0.001)


def a_document(**fields: object) -> dict[str, object]:
    document = profile_document(A100)
    spec = document["spec"]
    assert isinstance(spec, dict)
    return {**document, "spec": {**spec, **fields}}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_a_shipped_profile_survives_being_written_and_read(profile: LatencyProfile) -> None:
    assert parse_profile(json.loads(json.dumps(profile_document(profile)))) == profile


def test_every_form_of_a_model_survives() -> None:
    profile = replace(A100, law=ADDITIVE).at_speed(2.0)
    assert parse_profile(json.loads(json.dumps(profile_document(profile)))) == profile


def test_a_model_without_a_form_is_refused() -> None:
    with pytest.raises(TypeError, match="no form for SteadyLaw"):
        profile_document(replace(A100, law=SteadyLaw()))


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({}, "kind: is required"),
        (a_document(law={}), "spec.law: give one form of physical, twoPiece, additive, scaled"),
        (a_document(law={"phisical": {"base": 1}}), "spec.law.phisical: is not a field; did you mean physical?"),
        (a_document(law={"physical": {"base": 0.0}}), "spec.law.physical.base: must be above 0"),
        (a_document(law={"physical": {"base": float("nan")}}), "spec.law.physical.base: must be a number from 0"),
        (a_document(law={"physical": {"base": 1, "decode": -1}}), "spec.law.physical.decode: must be a number from 0"),
        (a_document(law={"additive": {}}), "spec.law.additive.tokens: must be above 0 everywhere"),
        (
            a_document(law={"additive": {"tokens": {"at": [0, 5], "seconds": [2, 1]}}}),
            "spec.law.additive.tokens.at: a curve may not fall",
        ),
        (
            a_document(law={"additive": {"tokens": {"at": [0, 5], "seconds": [1]}}}),
            "spec.law.additive.tokens.seconds: must be as many as at: 2, not 1",
        ),
        (
            a_document(law={"additive": {"tokens": {"at": [0, "x"], "seconds": [1, 2]}}}),
            "spec.law.additive.tokens.at[1]: must be a number from 0",
        ),
        (
            a_document(predictor={"twoPiece": {"below": {"intercept": 1}, "above": {}}}),
            "spec.predictor.twoPiece.above.intercept: must be above 0",
        ),
        (a_document(kvCapacityTokens=0), "spec.kvCapacityTokens: must be a whole number from 16"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(document: Mapping[str, object], told: str) -> None:
    with pytest.raises(ManifestError) as refused:
        parse_profile(document)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("points", "beyond", "told"),
    [
        ([], 0.0, "begins with a point at 0"),
        ([(1, 0.0)], 0.0, "begins with a point at 0"),
        ([(0, 0.0), (0, 1.0)], 0.0, "must ascend"),
        ([(0, 1.0), (5, 0.5)], 0.0, "may not fall"),
        ([(0, 1.0)], -1.0, "may not fall"),
    ],
)
def test_what_is_no_curve_is_refused(points: list[tuple[float, float]], beyond: float, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Curve.through(points, beyond=beyond)


def test_a_curve_goes_through_its_points_and_on_beyond_them() -> None:
    assert [GROWING.at(x) for x in (0, 128, 256, 400, 512, 612)] == pytest.approx([0.01, 0.015, 0.02, 0.02, 0.02, 0.03])
    assert GROWING.points == ((0, 0.01), (256, 0.02), (512, 0.02))


shapes = st.builds(
    lambda p, d, s, k: IterationShape(p, d, d * s, k if p else 0, p * (k + p / 2)),
    st.integers(0, 10_000),
    st.integers(0, 500),
    st.integers(0, 20_000),
    st.integers(0, 100_000),
)


@given(shapes, st.integers(1, 5000))
def test_more_prefill_never_takes_less_time(shape: IterationShape, more: int) -> None:
    larger = replace(
        shape, prefill_tokens=shape.prefill_tokens + more, prefill_attention=shape.prefill_attention + more * more
    )
    assert ADDITIVE.iteration_time(larger) >= ADDITIVE.iteration_time(shape)
