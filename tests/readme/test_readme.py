"""Every command of the README runs, in its order, as it stands there; and every page points to files that are there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [page.relative_to(ROOT) for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What is for a Kubernetes cluster stands in `bash` blocks: test_kubernetes_pages.py looks at it.
# Run elsewhere: `.ci/run` is `make test`, tests/cli/test_demo.py is `make demo`, tests/vllm/test_up.py `make up-vllm`.
MAKE_TARGETS = {"make demo", "make test", "make install", "make bench", "make up-vllm"}


def blocks(language: str, page: str = README) -> list[str]:
    return [text for found, text in BLOCK.findall(page) if found == language]


def commands(page: str = README) -> list[str]:
    return [line for block in blocks("sh", page) for line in block.splitlines() if line.strip()]


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A shell with the commands on its path and a state of its own."""
    found = dict(os.environ, XDG_STATE_HOME=str(tmp_path), PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    found.pop("NIYAMA_ADDRESS", None)
    yield found
    subprocess.run(["niyama", "down"], cwd=ROOT, env=found, capture_output=True, check=False)


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text() + (ROOT / "images/images.mk").read_text()
    targets = [command for command in commands() if command.startswith("make ")]
    assert set(targets) <= MAKE_TARGETS
    for target in re.findall(r"`?make ([a-z-]+)", README):
        assert f"\n{target}:" in makefile, target


@pytest.mark.slow
def test_every_command_of_the_readme_runs_in_its_order(environment: dict[str, str]) -> None:
    told: dict[str, str] = {}
    for command in commands():
        if command in MAKE_TARGETS:
            continue
        told[command] = run(["bash", "-ec", command], environment)
        if "--detach" in command:
            told["python"] = run([sys.executable, "-c", blocks("python")[0]], environment)
    generated = next(text for command, text in told.items() if "--class chat" in command)
    assert "chat" in generated
    assert "kept" in generated
    assert "kept: True" in told["python"]


@pytest.mark.slow
@pytest.mark.parametrize("page", ["capacity", "simulator"])
def test_every_command_of_a_page_runs_in_its_order(page: str, environment: dict[str, str]) -> None:
    for command in commands((ROOT / f"docs/{page}.md").read_text()):
        run(["bash", "-ec", command], environment)


def test_the_manifest_of_the_readme_is_valid(tmp_path: Path, environment: dict[str, str]) -> None:
    manifest = tmp_path / "cluster.yaml"
    manifest.write_text(blocks("yaml")[0])
    niyama = shutil.which("niyama", path=environment["PATH"])
    assert niyama is not None
    run([niyama, "validate", "-f", str(manifest)], environment)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_that_a_page_points_to_exists(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text())
    missing = [link for link in links if not (ROOT / page.parent / link).exists()]
    assert not missing


def test_the_readme_and_the_architecture_point_to_files() -> None:
    for page in (Path("README.md"), Path("docs/architecture.md")):
        assert re.search(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text()), page
