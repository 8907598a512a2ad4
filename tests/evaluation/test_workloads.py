"""Workloads drawn from settings."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.slo import Batch, Importance, Interactive, QosClass, QosClasses
from niyama_eval.arrivals import Diurnal, Poisson, Replayed
from niyama_eval.errors import TraceError, WorkloadError
from niyama_eval.settings import WorkloadSettings, parse_mix
from niyama_eval.workloads import WorkloadRequest, generate

CLASSES = QosClasses(
    {
        "chat": QosClass("chat", Interactive(6.0, 0.05)),
        "nightly": QosClass("nightly", Batch(1800.0), Importance.LOW),
    },
    default="chat",
)
POISSON = WorkloadSettings(workloads=("azure-code-2024",), qps=3.0, num_requests=2000)
ROWS = [(0.0, 100, 10), (1.0, 200, 0), (4.0, 300, 30), (9.0, 400, 40)]


def make(settings: WorkloadSettings, *, seed: int = 7, classes: QosClasses = CLASSES) -> tuple[WorkloadRequest, ...]:
    return generate(settings, classes, rng=np.random.default_rng(seed))


def lengths(requests: tuple[WorkloadRequest, ...]) -> list[tuple[int, int]]:
    return [(request.num_prompt_tokens, request.num_output_tokens) for request in requests]


def times(requests: tuple[WorkloadRequest, ...]) -> list[float]:
    return [request.arrival for request in requests]


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """Four requests in nine seconds, the third row without an answer; a mean gap of three seconds."""
    rows = [f"2023-11-16 18:00:{time:09.6f},{prompt},{output}" for time, prompt, output in ROWS]
    path = tmp_path / "office.csv"
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]))
    return str(path)


@pytest.mark.parametrize(
    "settings",
    [
        POISSON,
        replace(POISSON, workloads=("azure-code-2024", "sharegpt"), low_importance=0.2, mix=(3.0, 1.0)),
        replace(POISSON, arrivals=Diurnal((2.0, 5.0), 60.0), qps=None),
        replace(POISSON, workloads=("azure-code-2023", "azure-conv-2023"), arrivals=Replayed()),
    ],
)
def test_a_seed_gives_one_workload_and_another_seed_another(settings: WorkloadSettings) -> None:
    assert make(settings) == make(settings)
    assert lengths(make(settings)) != lengths(make(settings, seed=8))


def test_at_another_rate_come_the_same_requests_at_other_times() -> None:
    slow, fast = make(POISSON), make(replace(POISSON, qps=6.0))
    assert [replace(request, arrival=0.0) for request in slow] == [replace(request, arrival=0.0) for request in fast]
    assert times(slow) == pytest.approx([2 * time for time in times(fast)])


@given(
    mix=st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)),
    low=st.floats(0, 1),
    num=st.integers(1, 60),
    context=st.integers(2, 9000),
)
def test_one_setting_changes_nothing_else(mix: tuple[float, float], low: float, num: int, context: int) -> None:
    whole = make(replace(POISSON, num_requests=60))
    other = make(replace(POISSON, num_requests=num, mix=mix, low_importance=low))
    assert times(other) == times(whole)[:num]
    assert lengths(other) == lengths(whole)[:num]
    cut = make(replace(POISSON, num_requests=60, context_tokens=context))
    assert times(cut) == times(whole)
    assert all(prompt > 0 and output > 0 and prompt + output <= context for prompt, output in lengths(cut))


def test_a_run_ends_after_its_requests_or_before_its_duration() -> None:
    assert len(make(POISSON)) == 2000
    timed = make(replace(POISSON, num_requests=None, duration=100.0))
    assert len(timed) > 0
    assert timed[-1].arrival < 100.0
    assert times(timed) == times(make(POISSON))[: len(timed)]


def test_classes_are_chosen_by_the_weights_of_the_mix() -> None:
    counts = Counter(request.promise.qos_class for request in make(replace(POISSON, mix=(3.0, 1.0))))
    assert counts["chat"] / 2000 == pytest.approx(0.75, abs=0.03)
    assert set(Counter(request.promise.qos_class for request in make(replace(POISSON, mix=(0.0, 1.0))))) == {"nightly"}


def test_a_share_of_low_importance_falls_on_every_class_alike() -> None:
    requests = make(replace(POISSON, low_importance=0.2))
    for name in CLASSES.by_name:
        mine = [request for request in requests if request.promise.qos_class == name]
        low = sum(request.promise.importance is Importance.LOW for request in mine) / len(mine)
        assert low == pytest.approx(0.2, abs=0.04)


def test_without_a_share_each_class_keeps_its_own_importance() -> None:
    assert {request.promise for request in make(POISSON)} == {one.promise() for one in CLASSES}


def test_requests_are_numbered_in_the_order_of_arrival() -> None:
    requests = make(POISSON)
    assert [request.request_id for request in requests[:3]] == ["r0", "r1", "r2"]
    assert len({request.request_id for request in requests}) == len(requests)
    assert times(requests) == sorted(times(requests))


def test_several_workloads_are_mixed_by_their_shares_and_keep_their_lengths() -> None:
    requests = make(replace(POISSON, workloads=("azure-code-2024", "sharegpt"), shares=(1.0, 3.0)))
    answers = {
        app: [request.num_output_tokens for request in requests if request.app == app]
        for app in ("azure-code-2024", "sharegpt")
    }
    assert len(answers["sharegpt"]) / len(requests) == pytest.approx(0.75, abs=0.03)
    assert np.median(answers["azure-code-2024"]) < 15 < 300 < np.median(answers["sharegpt"])


def test_diurnal_rates_alternate_and_can_be_scaled_to_a_mean() -> None:
    settings = WorkloadSettings(workloads=("azure-code-2024",), arrivals=Diurnal((2.0, 5.0), 900.0), duration=3600.0)
    by_phase = np.histogram(times(make(settings)), [0, 900, 1800, 2700, 3600])[0] / 900
    assert by_phase == pytest.approx([2, 5, 2, 5], rel=0.1)
    assert len(make(replace(settings, qps=7.0))) / 3600 == pytest.approx(7.0, rel=0.05)


def test_a_trace_is_replayed_row_by_row_and_an_empty_answer_becomes_one_token(trace: str) -> None:
    requests = make(WorkloadSettings(workloads=(trace,), arrivals=Replayed()))
    assert times(requests) == pytest.approx([0, 1, 4, 9])
    assert lengths(requests) == [(100, 10), (200, 1), (300, 30), (400, 40)]
    assert {request.app for request in requests} == {"office"}


def test_a_trace_begins_again_one_mean_gap_after_its_end(trace: str) -> None:
    settings = WorkloadSettings(workloads=(trace,), arrivals=Replayed(), num_requests=6)
    assert times(make(settings)) == pytest.approx([0, 1, 4, 9, 12, 13])
    assert lengths(make(settings))[4:] == [(100, 10), (200, 1)]


def test_a_stretch_of_a_trace_starts_within_it(trace: str) -> None:
    requests = make(WorkloadSettings(workloads=(trace,), arrivals=Replayed(start=3.0), duration=7.0))
    assert times(requests) == pytest.approx([1, 6])
    assert lengths(requests) == [(300, 30), (400, 40)]


@pytest.mark.parametrize("workload", ["office", "azure-code-2023"])
def test_the_stretch_that_is_replayed_has_the_rate_that_was_asked_for(trace: str, workload: str) -> None:
    names = (trace if workload == "office" else workload,)
    requests = make(WorkloadSettings(workloads=names, arrivals=Replayed(), qps=10.0, duration=6.0))
    assert len(requests) == 60
    assert requests[-1].arrival == pytest.approx(6.0)


def test_replayed_traces_are_merged_by_time(trace: str) -> None:
    settings = WorkloadSettings(workloads=(trace, "azure-conv-2023"), arrivals=Replayed(), duration=9.5)
    requests = make(settings)
    assert times(requests) == sorted(times(requests))
    assert lengths(tuple(request for request in requests if request.app == "office")) == [
        (100, 10),
        (200, 1),
        (300, 30),
        (400, 40),
    ]
    assert {request.app for request in requests} == {"office", "azure-conv-2023"}


def test_poisson_arrivals_take_each_row_of_a_trace_once_before_any_again(trace: str) -> None:
    requests = make(WorkloadSettings(workloads=(trace,), qps=1.0, num_requests=12))
    for part in (requests[:4], requests[4:8], requests[8:]):
        assert sorted(lengths(part)) == [(100, 10), (200, 1), (300, 30), (400, 40)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"workloads": ()}, "workload"),
        ({"qps": 0.0}, "qps"),
        ({"qps": -1.0}, "qps"),
        ({"qps": float("nan")}, "qps"),
        ({"qps": None}, "qps"),
        ({"num_requests": 0}, "num_requests"),
        ({"num_requests": 10**9}, "num_requests"),
        ({"num_requests": None}, "num_requests"),
        ({"num_requests": None, "duration": 0.0}, "duration"),
        ({"duration": 5.0}, "duration"),
        ({"mix": ()}, "mix"),
        ({"mix": (0.0, 0.0)}, "mix"),
        ({"mix": (1.0, -1.0)}, "mix"),
        ({"mix": (1.0, float("nan"))}, "mix"),
        ({"shares": (1.0, 2.0)}, "shares"),
        ({"low_importance": 1.5}, "low_importance"),
        ({"low_importance": float("nan")}, "low_importance"),
        ({"context_tokens": 1}, "context_tokens"),
        ({"arrivals": Poisson(gap_cap=0.0)}, "arrivals"),
        ({"arrivals": Replayed(start=-1.0)}, "arrivals"),
        ({"arrivals": Diurnal((0.0, 0.0), 900.0)}, "arrivals"),
        ({"arrivals": Diurnal((1.0, -2.0), 900.0)}, "arrivals"),
        ({"arrivals": Diurnal((1.0, 2.0), 0.0)}, "arrivals"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_its_fix(change: dict[str, Any], field: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        replace(POISSON, **change)
    assert caught.value.field == field
    assert caught.value.fix in str(caught.value)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"mix": (1.0, 1.0, 1.0)}, "mix", "chat:nightly"),
        ({"workloads": ("azure-code-2042",)}, "workload", "azure-code-2024"),
        ({"arrivals": Replayed()}, "arrivals", "no times to replay"),
        ({"workloads": ("azure-code-2023",), "arrivals": Replayed(start=1e6)}, "arrivals", "start within"),
        ({"num_requests": None, "duration": 1e9}, "duration", "too many"),
    ],
)
def test_settings_that_do_not_fit_classes_or_sources_are_refused(
    change: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(WorkloadError, match=words) as caught:
        make(replace(POISSON, **change))
    assert caught.value.field == field


def test_a_cluster_without_classes_is_refused() -> None:
    with pytest.raises(WorkloadError, match="classes: there are none"):
        make(POISSON, classes=QosClasses({}, default=""))


def test_a_bad_trace_file_is_refused_as_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(TraceError):
        make(replace(POISSON, workloads=(str(path),)))


def test_a_mix_is_written_with_colons() -> None:
    assert parse_mix("1:1:2") == (1.0, 1.0, 2.0)
    for text in ("", "1:x", "0:0", "-1:2"):
        with pytest.raises(WorkloadError, match="mix"):
            parse_mix(text)
