"""Holds the tree to the rules of `house.py`, and shows that each rule can complain."""

import configparser
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture import house

ROOT = Path(__file__).parents[2]
ROOMS = sorted(path for path in ROOT.glob("[a-z]*/niyama_*") if path.is_dir())
MODULES = house.modules_below(*ROOMS)
EVERY_MODULE = MODULES + house.modules_below(ROOT / "tests", ROOT / "bench", ROOT / "examples")
CORE = house.modules_below(ROOT / "core")

Checker = Callable[[str], list[str]]


def hold(paths: list[Path], check: Checker) -> None:
    """Fail with every complaint of the files, one a line, and no traceback."""
    report = [f"{path.relative_to(ROOT)}: {line}" for path in paths for line in check(path.read_text())]
    if report:
        pytest.fail("\n".join(report), pytrace=False)


def tracked_files() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout of git")
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listing.stdout.splitlines()


def test_no_module_or_function_is_oversized() -> None:
    hold(EVERY_MODULE, house.oversized)


def test_nine_functions_in_ten_are_short() -> None:
    assert house.share_of_short(path.read_text() for path in MODULES) >= house.SHARE_OF_SHORT_FUNCTIONS


def test_no_signature_is_crowded() -> None:
    hold(MODULES, house.crowded_signatures)


def test_the_core_is_pure() -> None:
    assert CORE
    hold(CORE, house.impure)


def test_every_module_opens_with_what_it_is_for() -> None:
    hold(EVERY_MODULE, house.undocumented)


def test_no_module_holds_state() -> None:
    hold(MODULES, house.module_state)


def test_every_exported_name_is_there() -> None:
    hold(MODULES, house.missing_exports)


def test_no_module_is_named_for_nothing_in_particular() -> None:
    assert house.vaguely_named(str(path.relative_to(ROOT)) for path in EVERY_MODULE) == []


def test_nothing_generated_or_shadowing_is_tracked() -> None:
    assert house.wrongly_tracked(tracked_files()) == []


def test_no_link_is_tracked() -> None:
    # A link into somebody's own folders breaks every other checkout.
    assert [path for path in tracked_files() if (ROOT / path).is_symlink()] == []


def test_no_source_root_is_a_package() -> None:
    # A file that git does not know yet breaks every Python started in the root as well.
    assert [path for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"] == []


def test_compiled_requirements_name_no_index() -> None:
    hold(sorted((ROOT / "requirements").glob("*.txt")), house.addresses)


def test_the_compiled_build_is_the_declared_build() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["dependency-groups"]["build"] == project["build-system"]["requires"]


def test_every_room_is_installed_typed_and_linted() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    build = project["tool"]["hatch"]["build"]
    imports = configparser.ConfigParser()
    imports.read(ROOT / ".importlinter")
    linted = imports["importlinter"]["root_packages"].split()
    for room in ROOMS:
        root, package = room.parent.name, room.name
        assert root in build["dev-mode-dirs"], package
        assert f"{root}/{package}" in build["targets"]["wheel"]["packages"], package
        assert f"$MYPY_CONFIG_FILE_DIR/{root}" in project["tool"]["mypy"]["mypy_path"], package
        assert package in project["tool"]["coverage"]["run"]["source_pkgs"], package
        assert package in linted, package
        assert (room / "py.typed").exists(), package


LONG_FUNCTION = "def f():\n" + "    x = 1\n" * house.MAX_FUNCTION_LINES
LONG_MODULE = "x = 1\n" * (house.MAX_MODULE_LINES + 1)


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (house.oversized, LONG_FUNCTION),
        (house.oversized, "class A:\n    async def f(self):\n" + "        x = 1\n" * house.MAX_FUNCTION_LINES),
        (house.oversized, LONG_MODULE),
        (house.crowded_signatures, "def f(a, b, c): ..."),
        (house.crowded_signatures, "class A:\n    def f(self, a, b, c): ..."),
        (house.crowded_signatures, "class A:\n    @staticmethod\n    def f(a, b, c): ..."),
        (house.crowded_signatures, "def f(a, b, *, c, d, e, f, g): ..."),
        (house.impure, "import time"),
        (house.impure, "from datetime import datetime"),
        (house.impure, "import numpy as np"),
        (house.impure, "from niyama.v1 import load_pb2"),
        (house.impure, "def f():\n    import grpc"),
        (house.impure, "text = open('x').read()"),
        (house.impure, "print('here')"),
        (house.undocumented, "x = 1"),
        (house.module_state, "cache = {}"),
        (house.module_state, "cache: dict[str, int] = {}"),
        (house.module_state, "cache: dict[str, Sequence[int]] = {}"),
        (house.module_state, "import collections\nqueue = collections.deque()"),
        (house.module_state, "from prometheus_client import Counter\nREQUESTS = Counter('x', 'y')"),
        (house.module_state, "x = 1\ndef f():\n    global x\n    x = 2"),
        (house.missing_exports, "__all__ = ['there', 'gone']\nthere = 1"),
        (house.addresses, "numpy==2 --find-links /somewhere"),
        (house.addresses, "numpy @ https://somewhere/numpy.whl"),
    ],
)
def test_a_bad_example_is_complained_of(check: Checker, bad: str) -> None:
    assert len(check(bad)) == 1


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (house.oversized, 'def f():\n    """' + "words\n" * house.MAX_FUNCTION_LINES + '    """'),
        (house.crowded_signatures, "class A:\n    def f(self, a, b, *, c, d, e, g): ..."),
        (house.crowded_signatures, "class A:\n    def __exit__(self, kind, error, trace): ..."),
        (house.crowded_signatures, "@app.command()\ndef f(a, b, c, d, e, g, h): ..."),
        (house.impure, "import math\nfrom niyama_core import units\nfrom . import slo"),
        (house.module_state, "TABLE: Mapping[str, int] = {'a': 1}"),
        (house.module_state, "TABLE: Final[Mapping[str, int]] = {'a': 1}\nNAMES = ('a',)\n__all__ = ['TABLE']"),
        (house.missing_exports, "from a import b as c\nimport d\n__all__ = ['c', 'd', 'E', 'f']\nclass E: ...\nf = 1"),
        (house.addresses, "numpy==2 \\\n    --hash=sha256:0"),
    ],
)
def test_a_good_example_is_left_in_peace(check: Checker, good: str) -> None:
    assert check(good) == []


@pytest.mark.parametrize("path", ["proto/gen/niyama/v1/a.py", "x/load_pb2_grpc.pyi", "uv.lock", "operator/__init__.py"])
def test_a_file_that_must_not_be_tracked_is_complained_of(path: str) -> None:
    assert len(house.wrongly_tracked([path, "core/niyama_core/__init__.py"])) == 1


@pytest.mark.parametrize("path", ["a/utils.py", "a/string_helpers.py", "a/common/x.py", "a/state_manager.py"])
def test_a_vague_name_is_complained_of(path: str) -> None:
    assert len(house.vaguely_named([path, "a/load_board.py"])) == 1


def test_long_functions_lower_the_share_of_short_ones() -> None:
    short = "def f():\n    return 1\n"
    assert house.share_of_short([short, short, LONG_FUNCTION, LONG_FUNCTION]) == 0.5
