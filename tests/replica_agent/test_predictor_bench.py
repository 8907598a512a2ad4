"""The benchmark of predictors: its figures are measured, and hold what docs/profiles.md promises."""

import json
from pathlib import Path

import pytest

from bench import predictor as bench


def test_predictors_are_fast_right_and_follow_a_drift(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "deep" / "drift.png"
    bench.main(["--requests", "60", "--calls", "500", "--plot", str(picture), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["microseconds"]["compiled, calibrated"] <= 20
    assert said["microseconds"]["scikit-learn's forest"] > 20 * said["microseconds"]["compiled forest"]
    for name, report in said["errors"].items():
        assert report["by_predictor"]["compiled"]["p95"] <= 0.06, name
        assert report["by_predictor"]["compiled, calibrated"]["under_p99"] <= 0.03, name
    assert [one["factor"] for one in said["drift"]] == [1.3, 0.7]
    assert all(0 < one["seconds"] <= 60 for one in said["drift"])
    assert picture.read_bytes().startswith(b"\x89PNG")
