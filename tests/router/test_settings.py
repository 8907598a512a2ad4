"""The configuration file: what it may say, and that every mistake is said at once with the path of its field."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from niyama_core.manifest_reader import ManifestError
from niyama_core.slo import Interactive
from niyama_router.settings import RouterSettings, parse_settings

SMALLEST: dict[str, Any] = {
    "cluster": "default/llama",
    "listen": "127.0.0.1:50051",
    "model": "llama",
    "replicas": ["10.0.0.1:50051"],
}


def settings(**fields: object) -> RouterSettings:
    return parse_settings({**SMALLEST, **fields})


def problems(document: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ManifestError) as caught:
        parse_settings(document)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_what_is_left_out_has_a_default_that_works() -> None:
    parsed = settings()
    assert parsed.redis is None
    assert parsed.metrics is None
    assert (parsed.rules.placement, parsed.rules.num_routers) == ("niyama", 1)
    assert (parsed.rules.max_moves, parsed.rules.placement_wait) == (2, 5.0)
    assert list(parsed.rules.classes.by_name) == ["chat", "summarise", "nightly"]
    assert not parsed.rules.replay


def test_everything_can_be_said() -> None:
    parsed = settings(
        router="router-1",
        redis={"url": "redis://redis:6379/0", "passwordFile": "/etc/redis/password", "timeout": "200ms"},
        qosClasses=[{"name": "only", "interactive": {"ttft": "2s"}}],
        placement="least-loaded",
        numRouters=3,
        policy="sarathi-fcfs",
        maxOutputTokens=10,
        contextTokens=2048,
        maxMoves=0,
        placementWait="1s",
        drainGrace="7s",
        replay=True,
        metrics="127.0.0.1:9090",
        tls={"certificate": "tls.crt", "key": "tls.key", "clientCa": "ca.crt"},
        replicaTls={"ca": "ca.crt"},
        log={"level": "debug", "json": True},
        replicaService="llama-replicas.models:50051",
        maxConnectionAge="5m",
    )
    assert (parsed.replica_service, parsed.server.max_connection_age) == ("llama-replicas.models:50051", 300.0)
    assert parsed.redis is not None
    assert (parsed.redis.password_file, parsed.redis.timeout) == (Path("/etc/redis/password"), 0.2)
    assert parsed.rules.classes.by_name["only"].slo == Interactive(2.0, 0.1)
    assert parsed.rules.num_routers == 3
    assert parsed.server.tls is not None
    assert parsed.server.tls.client_ca == Path("ca.crt")
    assert parsed.replica_tls is not None
    assert (parsed.rules.max_moves, parsed.rules.drain_grace, parsed.rules.context_tokens) == (0, 7.0, 2048)


def test_every_mistake_is_said_at_once() -> None:
    found = problems(
        {
            "listen": "nowhere",
            "model": "",
            "placement": "psychic",
            "redis": {"url": "http://redis", "pasword": "x"},
            "replicas": ["10.0.0.1:1", 5],
            "maxMoves": -1,
            "placementWait": 5,
            "qosClasses": [{"name": "a"}],
            "tls": {"key": "tls.key"},
            "metric": "127.0.0.1:9090",
            "log": {"level": "loud"},
        }
    )
    assert set(found) == {
        "cluster",
        "listen",
        "model",
        "placement",
        "redis.url",
        "redis.pasword",
        "replicas[1]",
        "maxMoves",
        "placementWait",
        "qosClasses[0].interactive",
        "tls.certificate",
        "metric",
        "log.level",
    }
    assert "did you mean metrics?" in found["metric"]


def test_an_address_without_a_port_is_told_how_to_be_written() -> None:
    assert "host:port" in problems({**SMALLEST, "replicas": ["10.0.0.1"]})["replicas"]


def test_a_router_that_could_know_of_no_replica_is_refused() -> None:
    document = {key: value for key, value in SMALLEST.items() if key != "replicas"}
    assert "replicas" in problems(document)["redis"]


def test_rules_may_change_and_what_binds_may_not() -> None:
    assert not settings().differs_beyond_rules(settings(placement="round-robin", maxMoves=5))
    assert settings().differs_beyond_rules(settings(listen="127.0.0.1:50052"))


def test_the_configuration_in_the_docs_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "requests.md").read_text()
    example = page.split("```yaml\n")[1].split("```")[0]
    parsed = parse_settings(yaml.safe_load(example))
    assert set(yaml.safe_load(example)) >= {"cluster", "redis", "replicas", "tls", "replicaTls", "log"}
    assert parsed.rules == replace(settings().rules, context_tokens=16384, classes=parsed.rules.classes)


def test_the_name_of_a_service_is_enough_to_know_replicas_by() -> None:
    document = {key: value for key, value in SMALLEST.items() if key != "replicas"}
    assert parse_settings({**document, "replicaService": "replicas:50051"}).replicas == ()
