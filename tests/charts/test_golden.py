"""What the chart renders, whole: every change of it is seen in a pull request, and every right stands in one line."""

import pytest

from tests.charts import golden_files, helm
from tests.charts.releases import EVERYTHING, NAMESPACED

pytestmark = pytest.mark.kubernetes

RELEASES = [("default", {}), ("namespaced", NAMESPACED), ("everything", EVERYTHING)]


@pytest.mark.parametrize(("name", "values"), RELEASES, ids=[name for name, _ in RELEASES])
def test_the_chart_renders_what_it_did(name: str, values: helm.Values) -> None:
    golden_files.compare(f"{name}.yaml", golden_files.as_yaml(helm.render(values)))


@pytest.mark.parametrize(("name", "values"), RELEASES[:2], ids=[name for name, _ in RELEASES[:2]])
def test_the_roles_allow_what_they_did(name: str, values: helm.Values) -> None:
    golden_files.compare(f"rights-{name}.txt", golden_files.as_rights(helm.render(values)))
