"""Files of the charts that are made from others, or say the same, agree with them."""

import tomllib
from pathlib import Path

import pytest
import yaml

from charts import readme
from tests.charts.helm import CHARTS, ROOT

CRD = ROOT / "crds" / "niyamaclusters.yaml"
COPY = CHARTS / "niyama-crds" / "templates" / "niyamaclusters.yaml"


def test_the_chart_has_the_resource_that_is_written_by_hand() -> None:
    same = CRD.exists() and COPY.exists() and CRD.read_bytes() == COPY.read_bytes()
    if not same:
        pytest.fail(f"{COPY.relative_to(ROOT)} is not {CRD.relative_to(ROOT)}; `make crds` makes it so", pytrace=False)


@pytest.mark.parametrize("chart", ["niyama", "niyama-crds"])
def test_a_chart_has_the_version_of_what_it_installs(chart: str) -> None:
    described = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (described["version"], described["appVersion"]) == (version, version)


def test_the_readme_has_the_table_of_the_values() -> None:
    if not readme.check(CHARTS / "niyama"):
        pytest.fail(
            "charts/niyama/README.md is out of date; `python charts/readme.py charts/niyama` writes it", pytrace=False
        )


VALUES = """
# How many.
count: 1
parts:
  # The first | only one,
  # in two lines.
  first: {a: [b]}
"""


def test_each_described_value_is_a_row() -> None:
    assert readme.rows(VALUES) == [
        readme.Row("count", "How many.", "1"),
        readme.Row("parts.first", "The first | only one, in two lines.", '{"a": ["b"]}'),
    ]
    assert readme.table(readme.rows(VALUES)).splitlines()[-1] == (
        '| `parts.first` | `{"a": ["b"]}` | The first \\| only one, in two lines. |'
    )


def test_a_value_without_a_comment_is_named() -> None:
    with pytest.raises(readme.UndescribedValueError, match=r"line 4: parts\.first"):
        readme.rows("# Known.\nknown: 1\nparts:\n  first: 1\n")


def test_the_script_writes_what_its_check_asks_for(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text((CHARTS / "niyama" / "README.md").read_text())
    (tmp_path / "values.yaml").write_text(VALUES)
    assert readme.main([str(tmp_path), "--check"]) == 1
    assert readme.main([str(tmp_path)]) == 0
    assert readme.main([str(tmp_path), "--check"]) == 0
    assert "`parts.first`" in page.read_text()
