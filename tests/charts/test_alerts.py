"""The alerts ask for metrics that exist, say what to do and fire when they should; the chart renders them unchanged."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from niyama_agent.identity import Identity
from niyama_agent.metrics import AgentMetrics
from niyama_router.metrics import RouterMetrics
from prometheus_client import CollectorRegistry

from tests.charts import helm
from tests.charts.releases import EVERYTHING

CHART = helm.CHARTS / "niyama"
FILE = CHART / "files" / "alerts.yaml"
UNIT_TESTS = CHART / "tests" / "alerts_test.yaml"
PROMTOOL = shutil.which("promtool")

# Labels that the chart's PodMonitor gives, which look like metrics.
LABELS = {"niyama_cluster", "niyama_component"}
OF_THE_OPERATOR = {
    "niyama_operator_clusters",
    "niyama_operator_reconcile_seconds",
    "niyama_operator_reconcile_errors_total",
}

Rule = dict[str, Any]


def rules(groups: list[dict[str, Any]]) -> list[Rule]:
    return [rule for group in groups for rule in group["rules"]]


def rules_of_file() -> list[Rule]:
    return rules(yaml.safe_load(FILE.read_text())["groups"])


def alerts() -> list[Rule]:
    return [rule for rule in rules_of_file() if "alert" in rule]


def series(registry: CollectorRegistry) -> Iterator[str]:
    """The names of the series of a registry, those that have no value yet too."""
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "gauge": [""]}
    for metric in registry.collect():
        yield from (f"{metric.name}{suffix}" for suffix in suffixes[metric.type])


def test_every_metric_that_a_rule_asks_for_exists() -> None:
    identity = Identity("a", "m", locate=str)
    known = {*series(RouterMetrics(has_board=True).registry), *series(AgentMetrics(identity, version="0").registry)}
    asked = {name for rule in rules_of_file() for name in re.findall(r"\bniyama_\w+", rule["expr"])}
    assert asked - LABELS <= known | OF_THE_OPERATOR


def test_every_rule_asks_for_records_that_are_made_before_it() -> None:
    made: set[str] = set()
    for rule in rules_of_file():
        assert set(re.findall(r"\bniyama:[\w:]+", rule["expr"])) <= made
        made.add(rule.get("record", ""))


@pytest.mark.parametrize("alert", alerts(), ids=[alert["alert"] for alert in alerts()])
def test_every_alert_says_what_is_wrong_and_what_to_do(alert: Rule) -> None:
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{alert['alert'].lower()}"
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert f"| {alert['alert']} | {alert['labels']['severity']} |" in (CHART / "README.md").read_text()


def test_every_alert_can_be_left_out() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    disabled = schema["properties"]["prometheusRule"]["properties"]["disabled"]
    assert disabled["items"]["enum"] == [alert["alert"] for alert in alerts()]


def test_every_alert_has_a_unit_test_in_which_it_fires() -> None:
    tests = yaml.safe_load(UNIT_TESTS.read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case["exp_alerts"]}
    assert fired == {alert["alert"] for alert in alerts()}


@pytest.mark.kubernetes
@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on the PATH; Debian's prometheus has it")
@pytest.mark.parametrize("arguments", [["check", "rules", str(FILE)], ["test", "rules", str(UNIT_TESTS)]])
def test_promtool_finds_nothing_wrong(arguments: list[str]) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.kubernetes
def test_the_chart_renders_the_file_as_it_stands() -> None:
    rendered = helm.only(helm.render({"prometheusRule": {"enabled": True}}), "PrometheusRule")
    assert rendered["spec"] == yaml.safe_load(FILE.read_text())


@pytest.mark.kubernetes
def test_a_release_sets_objective_runbook_labels_and_choice() -> None:
    rendered = rules(helm.only(helm.render(EVERYTHING), "PrometheusRule")["spec"]["groups"])
    assert rendered[0] == {"record": "niyama:attainment_objective", "expr": "vector(0.999)"}
    assert "NiyamaReconcileFails" not in [rule.get("alert") for rule in rendered]
    for rule in rendered:
        if "alert" in rule:
            assert rule["labels"]["team"] == "platform"
            assert rule["annotations"]["runbook_url"] == f"https://example.com/runbook#{rule['alert'].lower()}"
