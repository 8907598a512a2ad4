"""The figures of a run, as `results.json` has them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.slo import Batch, Importance, Interactive, Promise, Slo
from niyama_eval.outcomes import OutcomeState, Relegation, RequestOutcome
from niyama_eval.results import slos_of, summarise, versions, write_results
from niyama_eval.workloads import WorkloadRequest

CHAT = Interactive(ttft=1.0, tbt=0.1)
NIGHTLY = Batch(ttlt=60.0)

# The schema that demo, bench and simulator share, in its order.
POLICY_FIELDS = [
    "num_requests",
    "num_completed",
    "num_rejected",
    "num_failed",
    "num_lost",
    "num_relegated",
    "num_relegated_after_first_token",
    "num_moved",
    "on_time",
    "important_on_time",
    "low_importance_on_time",
    "by_class",
]
CLASS_FIELDS = [
    "num_requests",
    "on_time",
    "late_token_fraction",
    "num_relegated",
    "ttft_p50_s",
    "ttft_p95_s",
    "tbt_p99_s",
    "largest_gap_p99_s",
    "ttlt_p50_s",
    "ttlt_p95_s",
]


def an_outcome(
    emitted: list[float],
    *,
    slo: Slo = CHAT,
    importance: Importance = Importance.HIGH,
    state: OutcomeState = OutcomeState.COMPLETED,
    relegation: Relegation = Relegation.NONE,
    num_moves: int = 0,
) -> RequestOutcome:
    name = "chat" if isinstance(slo, Interactive) else "nightly"
    request = WorkloadRequest("r0", 0.0, 10, len(emitted), Promise(name, slo, importance), "")
    return RequestOutcome.of(request, state, emitted=emitted, relegation=relegation, num_moves=num_moves)


outcomes = st.lists(
    st.builds(
        an_outcome,
        st.lists(st.floats(0, 3), max_size=6).map(sorted),
        slo=st.sampled_from([CHAT, NIGHTLY]),
        importance=st.sampled_from(Importance),
        state=st.sampled_from(OutcomeState),
        relegation=st.sampled_from(Relegation),
        num_moves=st.integers(0, 2),
    ),
    max_size=30,
)


def test_results_have_the_fields_of_the_schema_with_the_settings_beside_the_policies(tmp_path: Path) -> None:
    result = summarise([an_outcome([0.5, 0.6])])
    write_results(tmp_path / "results.json", {"niyama": result}, settings={"load_factor": 1.3, "file": Path("x")})
    document = json.loads((tmp_path / "results.json").read_text())
    assert list(document) == ["load_factor", "file", "policies"]
    assert list(document["policies"]["niyama"]) == POLICY_FIELDS
    assert list(document["policies"]["niyama"]["by_class"]["chat"]) == CLASS_FIELDS


@given(outcomes)
def test_every_request_is_counted_once(run: list[RequestOutcome]) -> None:
    result = summarise(run)
    assert result.num_requests == len(run)
    assert result.num_completed + result.num_rejected + result.num_failed + result.num_lost == len(run)
    assert sum(of_class.num_requests for of_class in result.by_class.values()) == len(run)
    assert sum(of_class.num_relegated for of_class in result.by_class.values()) == result.num_relegated
    assert result.num_relegated_after_first_token <= result.num_relegated
    on_time = sum((of_class.on_time or 0) * of_class.num_requests for of_class in result.by_class.values())
    assert (result.on_time or 0) * len(run) == pytest.approx(on_time)


@given(outcomes)
def test_shares_are_between_none_and_all_and_fit_into_json(run: list[RequestOutcome]) -> None:
    document = summarise(run).to_json()
    json.dumps(document, allow_nan=False)
    shares = [document["on_time"], document["important_on_time"], document["low_importance_on_time"]]
    shares += [one[key] for one in document["by_class"].values() for key in ("on_time", "late_token_fraction")]
    assert all(share is None or 0 <= share <= 1 for share in shares)


def test_important_and_unimportant_requests_are_told_apart() -> None:
    low = Importance.LOW
    result = summarise([an_outcome([0.5]), an_outcome([0.9]), an_outcome([5.0], importance=low), an_outcome([5.0])])
    assert result.on_time == 0.5
    assert result.important_on_time == pytest.approx(2 / 3)
    assert result.low_importance_on_time == 0.0


def test_percentiles_are_linear_between_the_two_nearest_values() -> None:
    result = summarise([an_outcome([time]) for time in (1.0, 2.0, 4.0)]).by_class["chat"]
    assert result.ttft_p50_s == 2.0
    assert result.ttft_p95_s == pytest.approx(3.8)


def test_gaps_are_counted_all_together_and_the_largest_of_each_request() -> None:
    run = [an_outcome([0.0, 1.0, *[1.0 + 0.01 * n for n in range(1, 201)]]), an_outcome([0.0, 0.5])]
    result = summarise(run).by_class["chat"]
    assert result.tbt_p99_s == pytest.approx(0.01)
    assert result.largest_gap_p99_s == pytest.approx(0.995)


def test_requests_relegated_before_their_first_token_are_left_out_of_late_tokens_and_later_ones_are_not() -> None:
    late = [0.5, 9.0]
    kept = an_outcome([0.5, 0.6])
    before = summarise([kept, an_outcome(late, relegation=Relegation.BEFORE_FIRST_TOKEN)]).by_class["chat"]
    after = summarise([kept, an_outcome(late, relegation=Relegation.AFTER_FIRST_TOKEN)]).by_class["chat"]
    assert before.late_token_fraction == 0.0
    assert after.late_token_fraction == 0.25
    assert (before.num_relegated, after.num_relegated) == (1, 1)


def test_a_class_without_requests_has_no_figures_and_keeps_its_place() -> None:
    result = summarise([an_outcome([0.5])], class_names=["nightly", "chat"])
    assert list(result.by_class) == ["nightly", "chat"]
    assert set(result.to_json()["by_class"]["nightly"].values()) == {0, None}


def test_a_run_without_requests_has_no_figures() -> None:
    document = summarise([], class_names=["chat"]).to_json()
    assert (document["on_time"], document["num_lost"]) == (None, 0)


def test_a_rejected_request_counts_against_its_class_and_not_in_its_times() -> None:
    result = summarise([an_outcome([0.5]), an_outcome([], state=OutcomeState.REJECTED)])
    assert result.by_class["chat"].on_time == 0.5
    assert result.by_class["chat"].ttft_p95_s == 0.5
    assert result.num_rejected == 1


def test_a_promise_is_told_of_a_class_only_where_all_its_requests_have_it() -> None:
    odd = replace(an_outcome([0.5]), slo=Interactive(2.0, 0.1))
    assert slos_of([an_outcome([0.5]), an_outcome([1.0], slo=NIGHTLY)]) == {"chat": CHAT, "nightly": NIGHTLY}
    assert slos_of([an_outcome([0.5]), odd]) == {}


def test_versions_name_what_figures_depend_on() -> None:
    assert {"python", "niyama", "numpy"} <= set(versions())
