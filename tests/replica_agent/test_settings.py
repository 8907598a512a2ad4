"""The agent's configuration, from a file and from flags."""

from collections.abc import Mapping

import pytest
from niyama_agent.command_line import overlaid, parse_arguments
from niyama_agent.settings import AgentSettings, parse_settings
from niyama_core.manifest_reader import ManifestError

SMALLEST: Mapping[str, object] = {"cluster": "default/llama", "replica": "llama-0", "model": "llama"}


def with_flags(*flags: str, document: Mapping[str, object] = SMALLEST) -> AgentSettings:
    return parse_settings(overlaid(document, parse_arguments(flags)))


def test_the_smallest_configuration_is_three_names() -> None:
    settings = parse_settings(SMALLEST)
    assert (settings.listen, settings.redis, settings.metrics) == ("127.0.0.1:0", None, None)
    assert settings.engine.profile == "a100-llama3-8b"
    assert settings.scheduler.policy == "niyama"
    assert settings.limits.max_output_tokens == 4096
    assert settings.drain_grace == 30.0
    assert not settings.engine.replay


def test_all_errors_are_said_at_once_each_with_its_field() -> None:
    with pytest.raises(ManifestError) as raised:
        parse_settings(
            {
                "cluster": "default/llama",
                "replica": 7,
                "engine": {"type": "warp", "profile": "h900", "speed": 0, "noise": "much"},
                "scheduler": {"policy": "fastest"},
                "redis": {"url": "http://here"},
                "limits": {"maxOutputTokens": 0},
                "decisionLog": {},
                "drainGrace": "-1s",
                "log": {"level": "loud"},
                "listenn": "127.0.0.1:0",
            }
        )
    assert {problem.path for problem in raised.value.problems} == {
        "replica",
        "model",
        "engine.type",
        "engine.profile",
        "engine.speed",
        "engine.noise",
        "scheduler.policy",
        "redis.url",
        "limits.maxOutputTokens",
        "decisionLog.path",
        "drainGrace",
        "log.level",
        "listenn",
    }


def test_an_unknown_profile_is_answered_with_those_there_are() -> None:
    with pytest.raises(ManifestError, match="a100-llama3-8b"):
        parse_settings({**SMALLEST, "engine": {"profile": "h900"}})


def test_flags_go_over_the_file_and_leave_the_rest_of_a_section_alone() -> None:
    document = {**SMALLEST, "engine": {"speed": 3.0, "seed": 5}, "listen": "127.0.0.1:7000"}
    settings = with_flags("--seed", "9", "--listen", "127.0.0.1:7001", "--replay", document=document)
    assert (settings.engine.speed, settings.engine.seed, settings.engine.replay) == (3.0, 9, True)
    assert settings.listen == "127.0.0.1:7001"


def test_flags_alone_are_a_configuration() -> None:
    flags = "--cluster default/a --replica a-0 --model m --redis-url redis://h:1/0 --policy sarathi-fcfs --metrics h:1"
    settings = with_flags(*flags.split(), document={})
    assert settings.redis is not None
    assert settings.redis.url == "redis://h:1/0"
    assert (settings.scheduler.policy, settings.metrics, settings.replica) == ("sarathi-fcfs", "h:1", "a-0")


def test_only_what_can_change_while_it_runs_is_taken_over() -> None:
    old = parse_settings(SMALLEST)
    new = parse_settings(
        {**SMALLEST, "listen": "127.0.0.1:1", "scheduler": {"policy": "sarathi-edf"}, "drainGrace": "9s"}
    )
    live = old.live_part_from(new)
    assert (live.scheduler.policy, live.drain_grace, live.listen) == ("sarathi-edf", 9.0, "127.0.0.1:0")
    assert new.differences(live) == ["listen"]
