"""What a setting changes, told apart from chance."""

import pytest
from niyama_eval.goodput import Point
from niyama_eval.sensitivity import Difference, Effect, loss


def test_the_loss_is_the_mean_of_the_classes_and_late_tokens_beside_it() -> None:
    assert loss(Point({"chat": 0.1, "job": 0.3}, late_tokens=0.05, backlog_growth=9.0)) == pytest.approx(0.25)
    assert loss(Point({}, late_tokens=0.0, backlog_growth=0.0)) == 0


def test_differences_that_agree_are_beyond_noise_and_scattered_ones_are_not() -> None:
    same, scattered = Difference.of([-0.02, -0.021, -0.019]), Difference.of([-0.06, 0.02, -0.02])
    assert same.mean == pytest.approx(scattered.mean)
    assert same.is_better
    assert scattered.is_within_noise
    assert not scattered.is_better


def test_of_one_pair_nothing_is_known() -> None:
    assert Difference.of([-0.5]) == Difference(-0.5, None, None)
    assert Difference.of([-0.5]).is_within_noise


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [([0.0, 0.0], "no effect"), ([0.1, 0.1], "worse"), ([-0.1, -0.1], "better"), ([0.1, -0.2], "within noise")],
)
def test_an_effect_has_a_verdict(differences: list[float], verdict: str) -> None:
    assert Effect("alpha", 0.1, Difference.of(differences)).verdict == verdict
