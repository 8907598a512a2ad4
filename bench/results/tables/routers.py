"""Many routers with old loads over many replicas, beside one router that knows all."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.results.decisions import decisions
from bench.results.page import MISSING, OLD, rows, seconds, share, wrapped
from bench.results.setting import Extent
from bench.results.store import Found, Store, fingerprint
from bench.routers_at_scale import Scene, cluster
from bench.routers_at_scale import rows as measured

__all__ = ["RoutersTable", "routers"]

_LEAD = """# Many routers, old loads

Azure Code on {replicas} replicas, {qps:g} requests a second each for {duration:g} s, which is more than they carry for
long; the promises are shorter than the published ones (2 s and 50 ms, 60 s, 120 s), because runs are. *Spread* is the
standard deviation over the replicas of the prompts that wait, in seconds of prefill, *peak* what waits on the fullest
beyond the mean. *On time* and *goodput* are shares of those of one router that knows all. More placements, ages and
faults: `python bench/routers_at_scale.py --help`.

*missing* has not been computed; † was computed with other settings or by policies that decided otherwise, and waits to
be computed again. Made by `make results`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A scene, and whether its goodput is searched for, too."""

    scene: Scene
    search: bool = False

    @property
    def key(self) -> str:
        """Its name in the JSON."""
        knows = f"loads {self.scene.load_age:g} s old" if self.scene.load_age else "knows all"
        fault = f", {self.scene.fault}" if self.scene.fault else ""
        return f"{self.scene.replicas} replicas, {self.scene.routers} routers, {knows}{fault}"

    @property
    def settings(self) -> str:
        """What tells its settings, and how its policies decide, from any others."""
        return fingerprint(decisions(cluster(self.scene)), self)


@dataclass(frozen=True, slots=True)
class RoutersTable:
    """Figures of several scenes, each beside the one that knows all."""

    lead: str
    wanted: Sequence[Wanted]
    name: str = "routers"

    def compute(self, store: Store, *, jobs: int) -> None:
        """Compute whatever is not there yet, a group of scenes with the same router that knows all at a time."""
        missing = [one for one in self.wanted if store.fresh(one.key, one.settings) is None]
        groups: dict[tuple[Scene, bool], list[Wanted]] = {}
        for one in missing:
            groups.setdefault((one.scene.knowing, one.search), []).append(one)
        for (_, search), group in groups.items():
            for one, row in zip(group, measured([one.scene for one in group], jobs=jobs, search=search), strict=True):
                print(f"{one.key}: {row.violations['all']:.2%} violations", flush=True)
                store.put(one.key, one.settings, asdict(replace(row, scene=one.scene)))

    def page(self, store: Store) -> str:
        """Return the page in Markdown."""
        head = [
            "replicas",
            "routers",
            "loads",
            "fault",
            "spread",
            "peak",
            "TTFT p99",
            "violations",
            "on time",
            "goodput",
        ]
        body = [_row(one, store.find(one.key, one.settings)) for one in self.wanted]
        return f"{wrapped(self.lead)}\n\n{rows(head, body)}\n"

    def draw(self, store: Store, folder: Path) -> None:
        """Draw nothing."""


def _row(one: Wanted, found: Found | None) -> Sequence[str]:
    scene = one.scene
    labels = [
        str(scene.replicas),
        str(scene.routers),
        f"up to {scene.load_age:g} s old" if scene.load_age else "as they are",
        f"`{scene.fault}`" if scene.fault else "–",
    ]
    return [*labels, *(_cells(found.value, OLD * (not found.is_fresh)) if found else [MISSING, *["–"] * 5])]


def _cells(row: Mapping[str, Any], mark: str) -> Sequence[str]:
    goodput = "–"
    if row["goodput_ratio"] is not None:
        goodput = f"{row['goodput_qps']:.2f}/s, {100 * row['goodput_ratio']:.1f} %"
    return [
        seconds(row["spread_s"]) + mark,
        seconds(row["peak_s"]),
        seconds(row["ttft_p99_s"]),
        share(row["violations"]["all"]),
        f"{100 * row['on_time_ratio']:.1f} %",
        goodput,
    ]


def routers(extent: Extent) -> RoutersTable:
    """Return the table."""
    quick = extent.share > 1
    base = Scene(replicas=8, duration=5.0) if quick else Scene(replicas=64)
    knows = ((1, 0.1), (1, 1.0), (4, 0.1), (4, 1.0), (16, 0.1), (16, 1.0))
    wanted = [Wanted(base.knowing, search=True)]
    wanted += [Wanted(replace(base, routers=num, load_age=age), search=True) for num, age in knows]
    if not quick:
        wide = replace(base, replicas=256, duration=30.0)
        wanted += [Wanted(wide.knowing), *(Wanted(replace(wide, routers=16, load_age=age)) for age in (0.1, 1.0))]
        for fault in ("lose:7@20s", "slow:3@15s:30s:2", "restart:all@5s:500ms"):
            broken = replace(base, fault=fault)
            wanted += [Wanted(broken.knowing), Wanted(replace(broken, routers=16, load_age=1.0))]
    lead = _LEAD.format(replicas=base.replicas if quick else "64 or 256", qps=base.qps, duration=base.duration)
    return RoutersTable(lead, wanted)
