"""Logs as key-values, of our own modules and of third parties."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from niyama_runtime import logs


@pytest.fixture(autouse=True)
def _former_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_an_event_and_its_values_are_one_line_of_json() -> None:
    stream = io.StringIO()
    logs.set_up(as_json=True, stream=stream)
    structlog.get_logger("niyama_router").info("replica_joined", replica="a", num_replicas=2)
    line = json.loads(stream.getvalue())
    expected = {
        "event": "replica_joined",
        "replica": "a",
        "num_replicas": 2,
        "level": "info",
        "logger": "niyama_router",
    }
    assert expected.items() <= line.items()
    assert line["timestamp"].endswith("Z")


def test_third_parties_come_out_in_the_same_form() -> None:
    stream = io.StringIO()
    logs.set_up(as_json=True, stream=stream)
    logging.getLogger("grpc").warning("broken %s", "pipe")
    assert {"event": "broken pipe", "level": "warning", "logger": "grpc"}.items() <= json.loads(
        stream.getvalue()
    ).items()


def test_an_error_carries_its_trace() -> None:
    stream = io.StringIO()
    logs.set_up(as_json=True, stream=stream)
    try:
        raise LookupError("gone")
    except LookupError:
        structlog.get_logger().exception("failed")
    assert "LookupError: gone" in json.loads(stream.getvalue())["exception"]


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    logs.set_up("warning", stream=stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud", key="value")
    assert "quiet" not in stream.getvalue()
    assert "key=value" in stream.getvalue()


def test_setting_up_again_replaces_what_was() -> None:
    first, second = io.StringIO(), io.StringIO()
    logger = structlog.get_logger()
    logs.set_up(stream=first)
    logger.info("one")
    logs.set_up(stream=second)
    logger.info("two")
    assert "two" not in first.getvalue()
    assert second.getvalue().count("two") == 1


def test_an_unknown_level_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="debug, info, warning, error"):
        logs.set_up("loud")
