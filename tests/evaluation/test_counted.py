"""Which requests of a run count."""

import pytest
from niyama_eval.counted import Counted
from niyama_eval.errors import WorkloadError
from niyama_eval.outcomes import OutcomeState, RequestOutcome
from niyama_eval.workloads import WorkloadRequest

from tests.evaluation.runs import CHAT

OUTCOMES = [
    RequestOutcome.of(WorkloadRequest(f"r{second}", float(second), 100, 2, CHAT, "office"), OutcomeState.COMPLETED)
    for second in range(10)
]


def arrivals(counted: Counted) -> list[float]:
    return [outcome.arrival for outcome in counted.of(OUTCOMES)]


def test_all_count_unless_something_is_left_out() -> None:
    assert arrivals(Counted()) == list(range(10))


def test_requests_of_the_ends_do_not_count() -> None:
    assert arrivals(Counted(warm_up=2.0, cool_down=3.5)) == [2, 3, 4, 5]


def test_a_run_of_which_nothing_counts_is_refused() -> None:
    with pytest.raises(WorkloadError, match="leave out less, or make the run longer"):
        Counted(warm_up=6.0, cool_down=6.0).of(OUTCOMES)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_refused(seconds: float) -> None:
    with pytest.raises(WorkloadError, match="is no time"):
        Counted(cool_down=seconds)
