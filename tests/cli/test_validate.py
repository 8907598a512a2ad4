"""`niyama validate` tells all that is wrong at once, each with its place and how to mend it."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from niyama_cli.__main__ import run
from niyama_cli.errors import CommandError
from niyama_cli.manifest_file import read_cluster
from niyama_core.profile_document import profile_document

from tests.builders import A100

Capture = pytest.CaptureFixture[str]

GOOD = """
apiVersion: niyama.dev/v1alpha1
kind: NiyamaCluster
metadata: {name: llama}
spec: {model: {name: m}, replicas: 2}
"""
WRONG = """
apiVersion: niyama.dev/v1
kind: NiyamaCluster
metadata: {name: Llama!}
spec:
  modle: {name: m}
  replicas: -1
  qosClasses:
  - {name: chat, interactive: {ttft: 6, tbt: 50ms}}
"""


def write(folder: Path, text: str | bytes, name: str = "cluster.yaml") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_a_manifest_that_is_right_is_summarised(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, GOOD)
    assert run(["validate", "-f", path]) == 0
    expected = f"{path}: default/llama is valid: 2 replicas of m, classes chat, summarise, nightly\n"
    assert capsys.readouterr() == (expected, "")


def test_everything_that_is_wrong_is_told_at_once_with_its_field_and_the_fix(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, WRONG)
    assert run(["validate", "-f", path]) == 1
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert output.out == ""
    assert all(line.startswith(f"{path}: ") for line in lines)
    said = {line.removeprefix(f"{path}: ").partition(": ")[0] for line in lines}
    assert {"apiVersion", "metadata.name", "spec.modle", "spec.replicas", "spec.qosClasses[0].interactive.ttft"} <= said
    assert "did you mean model?" in output.err


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1,\n  b: }", "line 2, column 6"),
        ("a:\n\t- b", "line 2, column 1"),
        ("spec: {model: {name: 'm}}", "line 1, column 26"),
        ("a: *nowhere", "line 1, column 4"),
        ("a: !!python/object:os.system x", "line 1, column 4"),
        ("a: \x07", "document"),
        ("[" * 5000, "document"),
    ],
)
def test_broken_yaml_is_told_with_line_and_column(text: str, place: str, tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, text)
    assert run(["validate", "-f", path]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{path}: {place}: is no YAML")
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n"])
def test_an_empty_file_says_so(text: str, tmp_path: Path, capsys: Capture) -> None:
    assert run(["validate", "-f", write(tmp_path, text)]) == 1
    assert "document: is empty" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["just text", "- a\n- b", "42"])
def test_a_document_that_is_no_mapping_says_what_to_write(text: str, tmp_path: Path, capsys: Capture) -> None:
    assert run(["validate", "-f", write(tmp_path, text)]) == 1
    assert "apiVersion: niyama.dev/v1alpha1" in capsys.readouterr().err


def test_several_files_and_documents_are_told_apart(tmp_path: Path, capsys: Capture) -> None:
    many = write(tmp_path, f"{GOOD}---{GOOD}---{WRONG}---\na: [", "many.yaml")
    one = write(tmp_path, GOOD, "one.yaml")
    assert run(["validate", "-f", many, "-f", one]) == 1
    output = capsys.readouterr()
    assert [line.partition(": default")[0] for line in output.out.splitlines()] == [
        f"{many}, document 1",
        f"{many}, document 2",
        one,
    ]
    assert f"{many}, document 3: spec.replicas" in output.err
    assert f"{many}, document 4: line " in output.err


def test_a_manifest_may_be_piped_in(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
    assert run(["validate", "-f", "-"]) == 0
    assert capsys.readouterr().out.startswith("standard input: default/llama is valid")


def test_json_has_each_problem_with_its_path(tmp_path: Path, capsys: Capture) -> None:
    assert run(["validate", "--json", "-f", write(tmp_path, GOOD), "-f", write(tmp_path, WRONG, "wrong.yaml")]) == 1
    good, wrong = json.loads(capsys.readouterr().out)
    assert (good["cluster"], good["problems"]) == ("default/llama", [])
    assert wrong["cluster"] is None
    assert "spec.replicas" in [problem["path"] for problem in wrong["problems"]]


def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, capsys: Capture) -> None:
    assert run(["validate", "-f", str(tmp_path / "nope.yaml")]) == 1
    assert capsys.readouterr().err == f"niyama: cannot read {tmp_path}/nope.yaml: No such file or directory\n"
    assert run(["validate", "-f", write(tmp_path, b"\xff\xfe\x00")]) == 1
    assert "is no UTF-8 text" in capsys.readouterr().err
    assert run(["validate", "-f", write(tmp_path, b"#" * 5_000_000)]) == 1
    assert "larger than 4 MiB" in capsys.readouterr().err


def test_one_cluster_is_read_for_those_who_run_it(tmp_path: Path) -> None:
    assert read_cluster(Path(write(tmp_path, GOOD))).key == "default/llama"
    with pytest.raises(CommandError, match="declares 2 clusters"):
        read_cluster(Path(write(tmp_path, f"{GOOD}---{GOOD}")))
    with pytest.raises(CommandError, match=r"spec\.replicas") as caught:
        read_cluster(Path(write(tmp_path, WRONG)))
    assert len(str(caught.value).splitlines()) > 3


def test_a_profile_file_is_found_beside_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = profile_document(replace(A100, name="mine"))
    write(tmp_path, json.dumps(document), "mine.json")
    path = Path(write(tmp_path, GOOD.replace("replicas: 2", "engine: {profile: mine.json}")))
    monkeypatch.chdir("/")
    assert read_cluster(path).engine.profile == str(tmp_path / "mine.json")


def test_a_profile_file_that_is_wrong_is_told_as_a_problem_of_the_manifest(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, GOOD.replace("replicas: 2", "engine: {profile: ./nowhere.yaml}"))
    assert run(["validate", "-f", path]) == 1
    assert f"{path}: spec.engine.profile: cannot read {tmp_path / 'nowhere.yaml'}" in capsys.readouterr().err
