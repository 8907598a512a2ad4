"""A watched configuration file: good versions take effect, broken ones change nothing."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from niyama_runtime.config_file import ConfigError, ConfigFile


def _limit(document: Mapping[str, object]) -> int:
    limit = document.get("limit")
    if not isinstance(limit, int):
        raise ValueError("limit: must be a whole number")
    return limit


def _file(folder: Path, content: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(content)
    return path


def test_yaml_and_json_are_read(tmp_path: Path) -> None:
    assert ConfigFile(_file(tmp_path, "limit: 1"), _limit).value == 1
    assert ConfigFile(_file(tmp_path, json.dumps({"limit": 2})), _limit).value == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("limit: [", "while parsing"),
        ("- limit", "holds no mapping"),
        ("", "holds no mapping"),
        ("limit: many", "limit: must be a whole number"),
        ("\x00", "unacceptable character"),
        ("limit: " + "[" * 1000, "recursion"),
        ("limit: !!python/object:os.system {}", "could not determine a constructor"),
    ],
)
def test_a_first_version_that_is_broken_is_one_clear_line(tmp_path: Path, content: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as refused:
        ConfigFile(_file(tmp_path, content), _limit)
    assert "config.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.yaml: No such file"):
        ConfigFile(tmp_path / "nowhere.yaml", _limit)


def test_a_file_beyond_all_reason_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="larger than"):
        ConfigFile(_file(tmp_path, "#" * 2_000_000), _limit)


def test_a_broken_version_keeps_the_last_good_one_and_is_counted_once(tmp_path: Path) -> None:
    path = _file(tmp_path, "limit: 1")
    config = ConfigFile(path, _limit)
    path.write_text("limit: [")
    assert [config.check(), config.check()] == [False, False]
    assert (config.value, config.num_rejected) == (1, 1)
    path.unlink()
    assert [config.check(), config.check()] == [False, False]
    assert (config.value, config.num_rejected) == (1, 2)
    path.write_text("limit: 3")
    assert config.check()
    assert config.value == 3


def test_a_parser_that_fails_in_its_own_way_kills_nothing(tmp_path: Path) -> None:
    path = _file(tmp_path, "limit: 1")
    config = ConfigFile(path, lambda document: {1: "one"}[int(str(document["limit"]))])
    path.write_text("other: 1")
    assert not config.check()
    assert config.value == "one"


def test_the_same_content_again_is_no_change(tmp_path: Path) -> None:
    path = _file(tmp_path, "limit: 1")
    config = ConfigFile(path, _limit)
    path.write_text("limit: 1")
    assert not config.check()


def test_the_links_that_kubernetes_swaps_are_followed(tmp_path: Path) -> None:
    for version in (1, 2):
        (tmp_path / f"v{version}").mkdir()
        (tmp_path / f"v{version}" / "config.yaml").write_text(f"limit: {version}")
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    config = ConfigFile(tmp_path / "config.yaml", _limit)
    (tmp_path / "..tmp").symlink_to("v2")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    assert config.check()
    assert config.value == 2


async def test_changes_are_yielded_as_they_come_and_broken_ones_passed_over(tmp_path: Path) -> None:
    path = _file(tmp_path, "limit: 1")
    config = ConfigFile(path, _limit, poll_seconds=0.005)
    changes = config.changes()
    path.write_text("limit: [")
    coming = asyncio.ensure_future(anext(changes))
    while not config.num_rejected:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    path.write_text("limit: 2")
    assert await asyncio.wait_for(coming, 5) == 2
    await changes.aclose()
