"""The experiment with many routers measures what it says."""

import json
from dataclasses import replace

import numpy as np
import pytest
from niyama_eval.outcomes import OutcomeState, Relegation, RequestOutcome

from bench import routers_at_scale as bench
from bench.routers_at_scale import Scene
from tests.simulator.clusters import asked

SMALL = Scene(replicas=8, duration=6.0, qps=6.0, placement="least-loaded")


def test_every_combination_is_there_with_the_one_that_knows_all_first() -> None:
    wanted = list(bench.scenes(replicas=(8,), routers=(1, 4), load_ages=(0.1, 1.0), faults=("", "lose:1@2s")))
    assert [(one.routers, one.load_age) for one in wanted[:5]] == [(1, 0.0), (1, 0.1), (1, 1.0), (4, 0.1), (4, 1.0)]
    assert [one.fault for one in wanted] == [""] * 5 + ["lose:1@2s"] * 5


def test_what_waits_is_counted_where_and_while_it_waits() -> None:
    def one(arrival: float, ttft: float, replica: str, fate: Relegation = Relegation.NONE) -> RequestOutcome:
        request = asked(f"{arrival} {replica}", arrival, prompt=10_000, output=1)
        return RequestOutcome.of(request, OutcomeState.COMPLETED, emitted=[ttft], replica=replica, relegation=fate)

    outcomes = [one(0.5, 2.0, "replica-1"), one(1.5, 0.2, "replica-0"), one(1.9, 1.0, "replica-1")]
    outcomes.append(one(0.5, 9.0, "replica-0", Relegation.BEFORE_FIRST_TOKEN))
    waiting = bench.waiting_seconds(outcomes, num_replicas=3, duration=5.0)
    assert waiting == pytest.approx(np.array([[0, 1, 0], [0, 2, 0], [0, 0, 0], [0, 0, 0]]))


def test_routers_that_know_little_spread_work_less_evenly_than_one_that_knows_all() -> None:
    knowing, blind = bench.rows([SMALL, replace(SMALL, routers=8, load_age=1.0)])
    assert knowing.on_time_ratio == 1.0
    assert knowing.goodput_ratio is None
    assert blind.spread_s > knowing.spread_s
    assert blind.peak_s > knowing.peak_s
    assert blind.num_unfinished == knowing.num_unfinished == 0


def test_goodput_is_searched_for_beside_that_of_the_one_that_knows_all() -> None:
    (blind,) = bench.rows([replace(SMALL, replicas=4, routers=4, load_age=1.0)], search=True)
    assert blind.goodput_qps is not None
    assert blind.goodput_ratio is not None
    # In six seconds on four replicas chance decides which is more.
    assert 0.5 < blind.goodput_ratio < 2.0


def test_figures_come_as_a_table_or_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--replicas", "3", "--routers", "2", "--load-age", "1", "--duration", "3", "--fault", "lose:1@1s"]
    bench.main(command)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 4
    assert "knows all" in lines[2]
    assert "lose:1@1s" in lines[4]
    bench.main([*command, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [row["scene"]["fault"] for row in found] == ["", "", "lose:1@1s", "lose:1@1s"]
    assert all(row["num_unfinished"] == 0 for row in found)
