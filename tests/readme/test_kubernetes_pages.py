"""The pages about Kubernetes keep up with the code: with its reasons, alerts, columns and kinds of objects."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from niyama_operator.checks import FindingReason
from niyama_operator.kubernetes_api import KINDS
from niyama_operator.manifests.all_objects import OWNED_KINDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs/kubernetes.md").read_text()
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
EXAMPLES = sorted((ROOT / "examples" / "kubernetes").glob("*.yaml"))
RESOURCE = yaml.safe_load((ROOT / "crds/niyamaclusters.yaml").read_text())["spec"]["versions"][0]
SPEC = RESOURCE["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
# Other words that the builder of the status writes with a capital.
NO_REASONS = {"True", "False", "Unknown", "Ready", "Progressing", "Degraded", "Condition", "Deployment"}


def reasons() -> set[str]:
    """Return every reason that a condition may have."""
    status = (ROOT / "operator/niyama_operator/status.py").read_text()
    words = set(re.findall(r'"([A-Z][a-z]+(?:[A-Z][a-z]+)*)"', status)) - NO_REASONS
    return words | {reason.value for reason in FindingReason}


def headings(page: str) -> set[str]:
    return {name for line in re.findall(r"^###? (.*)$", page, re.MULTILINE) for name in line.split(", ")}


def commands(page: str) -> Iterator[list[str]]:
    """Yield the commands that a page gives for a Kubernetes cluster, in words."""
    for block in re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield shlex.split(line, comments=True)


def test_every_reason_is_explained_and_has_a_section_in_the_runbook() -> None:
    assert reasons() > {"AllReady", "InsufficientGpus", "PromisesMissed"}
    assert {reason for reason in reasons() if f"`{reason}`" not in PAGE} == set()
    assert reasons() - headings(RUNBOOK) == set()


def test_every_alert_has_a_section_in_the_runbook() -> None:
    groups = yaml.safe_load((ROOT / "charts/niyama/files/alerts.yaml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert alerts - headings(RUNBOOK) == set()


def test_the_runbook_has_a_section_for_nothing_else() -> None:
    named = {name for name in headings(RUNBOOK) if re.fullmatch(r"([A-Z][a-z]+){2,}", name)}
    assert {name for name in named if not name.startswith("Niyama")} - reasons() == set()


def test_every_section_of_the_spec_is_told() -> None:
    assert {section for section in SPEC if not re.search(rf"^\| `{section}[`.]", PAGE, re.MULTILINE)} == set()


def test_every_column_and_every_kind_of_object_is_told() -> None:
    columns = {column["name"].upper() for column in RESOURCE["additionalPrinterColumns"]}
    assert {column for column in columns if column not in PAGE} == set()
    assert {kind for kind in OWNED_KINDS if not re.search(rf"^\| {kind}\b", PAGE, re.MULTILINE)} == set()


@pytest.mark.parametrize("page", ["README", "docs/kubernetes", "docs/runbook"])
def test_commands_name_files_and_targets_that_are_there(page: str) -> None:
    makefiles = (ROOT / "Makefile").read_text() + (ROOT / "images/images.mk").read_text()
    found = list(commands((ROOT / f"{page}.md").read_text()))
    assert found
    for words in found:
        paths = [word for word in words if word.startswith(("charts/", "examples/"))]
        assert all((ROOT / path).exists() for path in paths), words
        if words[:1] == ["make"]:
            targets = [word for word in words[1:] if "=" not in word]
            assert all(f"\n{target}:" in makefiles for target in targets), words


def test_the_first_cluster_of_the_readme_is_the_one_that_it_applies() -> None:
    name = yaml.safe_load((ROOT / "examples/minimal.yaml").read_text())["metadata"]["name"]
    named = {word for words in commands(README) for word in words if word.startswith("nyc/")}
    assert named == {f"nyc/{name}"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_point_to_a_clusters_objects_and_to_metrics_that_are_there(example: Path) -> None:
    text = example.read_text()
    document = yaml.safe_load(text)
    told = "".join(path.read_text() for path in ROOT.glob("*/niyama_*/metrics.py"))
    metrics = set(re.findall(r"\bniyama_engine_\w+", text))
    assert {metric for metric in metrics if f'"{metric}"' not in told} == set()
    target = document["spec"].get("scaleTargetRef")
    if target is not None:
        assert metrics
        assert (target["apiVersion"], target["kind"]) == (KINDS["NiyamaCluster"][0], "NiyamaCluster")
    else:
        assert "50051" in text
