"""Profiles by name or by file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from niyama_core.profile_document import profile_document
from niyama_core.profiles import PROFILES
from niyama_runtime.profile_file import ProfileError, find_profile

from tests.builders import A100

MINE = replace(A100, name="mine")


def test_a_shipped_profile_is_found_by_its_name() -> None:
    assert find_profile("a100-llama3-8b") is PROFILES["a100-llama3-8b"]


def test_a_profile_is_read_from_yaml_and_from_json(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(profile_document(MINE)))
    (tmp_path / "mine.json").write_text(json.dumps(profile_document(MINE)))
    assert find_profile(str(tmp_path / "mine.yaml")) == MINE
    assert find_profile("mine.json", folder=tmp_path) == MINE


def test_an_unknown_name_is_told_with_those_that_are_known() -> None:
    with pytest.raises(ProfileError, match=r"'abacus' is unknown: choose one of a100-llama3-8b, .* or name a profile"):
        find_profile("abacus")


def test_a_file_that_is_missing_or_wrong_is_told_by_name_and_field(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"cannot read .*nowhere\.yaml"):
        find_profile("nowhere.yaml", folder=tmp_path)
    document = profile_document(MINE)
    (tmp_path / "wrong.json").write_text(json.dumps({**document, "metadata": {}, "spec": {}}))
    with pytest.raises(ProfileError, match=r"wrong\.json: metadata\.name: is required; spec\.model: is required"):
        find_profile("wrong.json", folder=tmp_path)
