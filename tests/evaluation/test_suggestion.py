"""Which classes some traffic suggests, and the manifest of them."""

import numpy as np
import pytest
import yaml
from niyama_core.cluster_spec import parse_cluster
from niyama_core.profiles import PROFILES
from niyama_core.slo import Batch, Interactive
from niyama_eval.assessment import assess
from niyama_eval.class_manifest import class_manifest, mix_option
from niyama_eval.planning_plots import capacity_plot, traffic_plot
from niyama_eval.plots import png
from niyama_eval.suggestion import Suggestion, carried_qps, remarks, suggest_classes
from niyama_eval.traces import Trace

from tests.builders import A100, SteadyLaw


def a_trace(*, short: int = 0, long: int = 0, bunch: int = 1, prompt: int = 1000) -> Trace:
    """Return some answers of 20 tokens and some of 800; `bunch` requests come at a time, 10 s apart, or 30 s."""
    num = short + long
    arrivals = np.repeat(np.arange(0, num // bunch + 1) * (10.0 if bunch == 1 else 30.0), bunch)[:num]
    outputs = np.concatenate([np.full(short, 20), np.full(long, 800)])
    return Trace("Office $1", arrivals, np.full(num, prompt), outputs)


def suggested(trace: Trace, profile: str = "a100-llama3-8b") -> tuple[Suggestion, ...]:
    return suggest_classes(trace, assess(trace), profile=PROFILES[profile])


def test_short_answers_suggest_an_interactive_class_that_the_profile_can_keep() -> None:
    (one,) = suggested(a_trace(short=300))
    slo = one.qos_class.slo
    assert isinstance(slo, Interactive)
    assert slo == Interactive(ttft=1.0, tbt=0.05)
    assert one.share == 1


def test_long_answers_suggest_a_batch_class_and_shares_add_up() -> None:
    short, long = suggested(a_trace(short=100, long=300))
    assert isinstance(short.qos_class.slo, Interactive)
    assert isinstance(long.qos_class.slo, Batch)
    assert (short.share, long.share) == (0.25, 0.75)
    assert long.qos_class.slo.ttlt == 180.0


def test_a_few_long_answers_make_no_class_of_their_own_and_are_not_hidden() -> None:
    (one,) = suggested(a_trace(short=98, long=2))
    assert "98 % of the answers" in one.reasons[0]


def test_bursts_and_longer_prompts_ask_for_more_time() -> None:
    def ttft(trace: Trace) -> float:
        (one,) = suggested(trace)
        assert isinstance(one.qos_class.slo, Interactive)
        return one.qos_class.slo.ttft

    calm = ttft(a_trace(short=300, prompt=7000))
    bursty = ttft(a_trace(short=6000, bunch=20, prompt=7000))
    assert ttft(a_trace(short=300)) < calm < bursty


def test_the_manifest_reads_back_as_the_suggested_classes() -> None:
    trace = a_trace(short=100, long=300)
    suggestions = suggested(trace, "h100x4-llama3-70b")
    cluster = parse_cluster(
        yaml.safe_load(class_manifest(trace.name, suggestions, profile=PROFILES["h100x4-llama3-70b"]))
    )
    assert [(c.name, c.slo) for c in cluster.qos_classes] == [(s.qos_class.name, s.qos_class.slo) for s in suggestions]
    assert (cluster.name, cluster.engine.profile) == ("office-1", "h100x4-llama3-70b")
    assert mix_option(suggestions) == "25:75"


@pytest.mark.parametrize("name", ["", "日本", "-a-", "x" * 200, "new\nline: x"])
def test_whatever_a_file_is_called_its_manifest_is_valid(name: str) -> None:
    assert parse_cluster(yaml.safe_load(class_manifest(name, suggested(a_trace(short=50)), profile=A100))).name


def test_what_a_planner_should_know_is_said() -> None:
    said = " ".join(remarks(assess(a_trace(short=3000, bunch=30, prompt=20_000)), A100))
    for words in ("mean load is about", "bursty", "too short to show a daily pattern", "longer than 6,200", "holds 16"):
        assert words in said


def test_traffic_without_times_says_what_is_not_known() -> None:
    trace = a_trace(short=10)
    lengths = Trace("lengths", None, trace.num_prompt_tokens, trace.num_output_tokens)
    assert "Plan with --qps" in next(iter(remarks(assess(lengths), A100)))


def test_what_a_replica_carries_falls_with_the_work_of_a_request() -> None:
    law = SteadyLaw(seconds=0.0, seconds_per_token=0.0001)
    assert carried_qps(1000, 1, law=law) == pytest.approx(10, rel=0.01)
    assert carried_qps(1000, 1000, law=law) == pytest.approx(5, rel=0.01)


def test_traffic_and_capacity_are_drawn_whatever_there_is_of_them() -> None:
    trace = a_trace(short=300)
    lengths = Trace("lengths", None, trace.num_prompt_tokens, trace.num_output_tokens)
    assert [len(traffic_plot(one, assess(one)).axes) for one in (trace, lengths)] == [3, 1]
    curves = {"niyama, shared": [(1, {"chat": 0.3, "$job$": 0.0}), (2, {"chat": 0.0, "$job$": 0.0})], "silos": []}
    figures = traffic_plot(trace, assess(trace)), capacity_plot(curves, limit=0.01), capacity_plot({}, limit=0.01)
    assert all(png(figure) for figure in figures)
    assert [axes.get_title(loc="left") for axes in figures[1].axes] == ["chat", r"\$job\$"]
