"""The benchmark of the planner measures what it says: a load that stays the same."""

import json

import pytest

from bench import plan as bench


def test_the_load_stays_the_same_iteration_after_iteration() -> None:
    replica = bench.SteadyReplica("niyama", num_queued=50)
    for _ in range(50):
        assert len(replica.planner) == bench.NUM_DECODES + 50
        assert len(replica.planner.plan(replica.now, bench.PLENTY_OF_KV).decodes) == bench.NUM_DECODES
        assert all(seconds > 0 for seconds in replica.step())


def test_figures_come_as_a_table_or_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--policy", "niyama", "--queued", "20", "--iterations", "10"]
    bench.main(command)
    assert capsys.readouterr().out.splitlines()[-1].startswith("niyama             20")
    bench.main([*command, "--json"])
    (measurement,) = json.loads(capsys.readouterr().out)
    assert measurement["policy"] == "niyama"
    assert set(measurement["plan_ms"]) == {"mean", "p50", "p95", "p99"}
