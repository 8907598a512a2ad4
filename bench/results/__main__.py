"""The published tables, computed again, and ours beside them.

    python -m bench.results --jobs 4
    python -m bench.results --table goodput --table cluster
    python -m bench.results --quick

Each table is a page, a JSON with every figure, the seeds and the versions, and a picture where one says more. The JSON
is written after every simulation and read at the start: what is there is not computed again, as long as its settings
are the same and its policies decide as they did (`decisions.py`). Others are shown, and marked, until they are computed
again; what has not been computed is said to be missing.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from niyama_eval.results import versions

from bench.results.overview import overview
from bench.results.setting import FULL, QUICK, Extent
from bench.results.store import Store
from bench.results.table import Table
from bench.results.tables.ablation import ablation_goodput, ablation_overload
from bench.results.tables.alpha import alpha
from bench.results.tables.cluster35 import cluster35
from bench.results.tables.deviations import deviations
from bench.results.tables.diurnal import diurnal
from bench.results.tables.goodput import goodput
from bench.results.tables.other_hardware import laws, models, prefill_only
from bench.results.tables.overload import overload, overload_floor
from bench.results.tables.robustness import robustness, stale_loads
from bench.results.tables.routers import routers
from bench.results.tables.silos import headlines

ROOT = Path(__file__).parents[2]

TABLES: Mapping[str, Callable[[Extent], Table]] = MappingProxyType(
    {
        "goodput": goodput,
        "diurnal": diurnal,
        "cluster": cluster35,
        "overload": overload,
        "overload-floor": overload_floor,
        "ablation-goodput": ablation_goodput,
        "ablation-overload": ablation_overload,
        "alpha": alpha,
        "headlines": headlines,
        "robustness": robustness,
        "robustness-loads": stale_loads,
        "laws": laws,
        "prefill-only": prefill_only,
        "routers": routers,
        "deviations": deviations,
        "models": models,
    }
)
"""The tables by name, the most telling first."""


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.results", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", action="append", choices=TABLES, help="may be repeated; all when left out")
    parser.add_argument("--jobs", type=int, default=1, help="simulations at a time")
    parser.add_argument("--quick", action="store_true", help="short runs: shows that it works, and flatters everyone")
    parser.add_argument("--pages", action="store_true", help="compute nothing, and write the pages of what is there")
    parser.add_argument("--output", type=Path, help="docs/results, or out/results of quick runs, when left out")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute what was asked for."""
    asked = options(arguments)
    folder = asked.output or ROOT / ("out/results" if asked.quick else "docs/results")
    folder.mkdir(parents=True, exist_ok=True)
    extent = QUICK if asked.quick else FULL
    for name in asked.table or TABLES:
        table, store = _opened(name, extent, folder)
        try:
            if not asked.pages:
                table.compute(store, jobs=asked.jobs)
        finally:
            _show(table, store, folder)
        print(f"{name}: {folder / name}.md", flush=True)
    _lead(extent, folder)


def _opened(name: str, extent: Extent, folder: Path) -> tuple[Table, Store]:
    table = TABLES[name](extent)
    return table, Store(folder / f"{name}.json", versions())


def _show(table: Table, store: Store, folder: Path) -> None:
    (folder / f"{table.name}.md").write_text(table.page(store), encoding="utf-8")
    table.draw(store, folder)


def _lead(extent: Extent, folder: Path) -> None:
    """Write the page that leads to the others, once all of them are there."""
    if all((folder / f"{name}.md").exists() for name in TABLES):
        opened = {name: _opened(name, extent, folder) for name in TABLES}
        (folder / "README.md").write_text(overview(opened, folder), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
