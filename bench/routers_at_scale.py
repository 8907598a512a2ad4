"""Many routers with old loads over many replicas, beside one router that knows all.

    python bench/routers_at_scale.py
    python bench/routers_at_scale.py --replicas 256 --routers 16 --load-age 1 --placement least-loaded
    python bench/routers_at_scale.py --fault lose:7@30s --fault slow:3@15s:30s:2 --fault restart:all@20s:2s --json
    python bench/routers_at_scale.py --search --jobs 4

Do they run to the same replica? Every run has the very same requests, so a row differs from the one that knows all by
what routers know and by nothing else. Runs last minutes, so the promises are shorter than the published ones: what
takes half an hour to go wrong cannot be seen in two minutes.

Herding is seen in the *spread*: the standard deviation over the replicas of the prompt tokens that wait there for their
first token, averaged over instants a second apart, in seconds of prefill. Relegated requests are left out: they wait
because there is more work than time, wherever they are. *Goodput* is the highest rate at which at most 1 % of every
class misses its promise; it takes a search, several runs each.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from niyama_core.placement import PLACEMENTS
from niyama_core.slo import Batch, Importance, Interactive, QosClass, QosClasses
from niyama_eval.arrivals import Poisson
from niyama_eval.goodput_search import NothingPassesError
from niyama_eval.outcomes import OutcomeState, Relegation, RequestOutcome
from niyama_eval.run_figures import run_figures
from niyama_eval.settings import WorkloadSettings
from niyama_eval.workloads import generate_seeded
from niyama_sim.cluster import simulate
from niyama_sim.faults import parse_faults
from niyama_sim.goodput import GoodputSettings, find_goodput
from niyama_sim.settings import SimulationSettings
from niyama_sim.side_by_side import side_by_side

__all__ = ["Row", "Scene", "cluster", "rows", "scenes", "table"]

_PREFILL_TOKENS_PER_SECOND = 10_000.0
_RESOLUTION = 0.02
_CLASSES = (
    QosClass("chat", Interactive(ttft=2.0, tbt=0.05)),
    QosClass("summarise", Batch(ttlt=60.0)),
    QosClass("nightly", Batch(ttlt=120.0), importance=Importance.LOW),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One run.

    Attributes:
        replicas: how many.
        routers: how many.
        load_age: seconds; 0 lets routers know all.
        placement: the routers' rule.
        fault: what goes wrong, as `niyama sim run --fault` has it; empty for nothing.
        qps: requests per second and replica.
        duration: seconds in which requests arrive.
        workload: whose lengths the requests have.
        seed: of requests and noise.
    """

    replicas: int = 64
    routers: int = 1
    load_age: float = 0.0
    placement: str = "niyama"
    fault: str = ""
    qps: float = 4.4
    duration: float = 60.0
    workload: str = "azure-code-2024"
    seed: int = 1

    @property
    def knowing(self) -> "Scene":
        """The same with one router that knows all."""
        return replace(self, routers=1, load_age=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a run came to.

    Attributes:
        scene: the run.
        spread_s: standard deviation over the replicas of what waits, in seconds of prefill.
        peak_s: what waits on the fullest replica beyond the mean, likewise, averaged over the instants.
        violations: share that misses its promise, of all, by class, and of the important.
        ttft_p99_s: of the interactive class.
        on_time_ratio: requests on time, as a share of those of the one router that knows all.
        goodput_qps: requests per second and replica that are carried; None unless it was searched for.
        goodput_ratio: likewise, as a share of that of the one router that knows all.
        num_moved: requests that went to another replica.
        num_unfinished: requests that did not complete.
    """

    scene: Scene
    spread_s: float
    peak_s: float
    violations: Mapping[str, float] = field(default_factory=dict)
    ttft_p99_s: float = 0.0
    on_time_ratio: float = 1.0
    goodput_qps: float | None = None
    goodput_ratio: float | None = None
    num_moved: int = 0
    num_unfinished: int = 0


def scenes(
    *,
    replicas: Iterable[int] = (64, 256),
    routers: Iterable[int] = (1, 4, 16),
    load_ages: Iterable[float] = (0.1, 0.5, 1.0),
    placements: Iterable[str] = ("niyama",),
    faults: Iterable[str] = ("",),
    base: Scene | None = None,
) -> Iterator[Scene]:
    """Yield every combination, that which knows all first."""
    begin, ages, counts = base or Scene(), list(load_ages), list(routers)
    for placement in placements:
        for num_replicas in replicas:
            for fault in faults:
                one = replace(begin, placement=placement, replicas=num_replicas, fault=fault)
                yield one.knowing
                yield from (replace(one, routers=count, load_age=age) for count in counts for age in ages)


def rows(wanted: Iterable[Scene], *, jobs: int = 1, search: bool = False) -> list[Row]:
    """Simulate scenes, and whatever knows all beside them, each once; return a row for each scene.

    Args:
        wanted: the scenes.
        jobs: how many at a time.
        search: whether to search for the goodput of each, too.

    Raises:
        EvaluationError: the requests cannot be drawn.
        SearchError: every rate passes.
        SimulationError: the cluster cannot run them.
    """
    asked = list(wanted)
    with side_by_side(jobs) as submit:
        begun = {
            scene: submit(_measure, scene, search)
            for scene in dict.fromkeys([*(scene.knowing for scene in asked), *asked])
        }
        measured = {scene: future.result() for scene, future in begun.items()}
    return [_beside(measured[scene], measured[scene.knowing]) for scene in asked]


def _beside(row: Row, knowing: Row) -> Row:
    on_time, best = 1.0 - row.violations["all"], 1.0 - knowing.violations["all"]
    searched = row.goodput_qps is not None and knowing.goodput_qps is not None
    return replace(
        row,
        on_time_ratio=on_time / best if best else 1.0,
        goodput_ratio=(row.goodput_qps or 0.0) / (knowing.goodput_qps or 1.0) if searched else None,
    )


def _measure(scene: Scene, search: bool) -> Row:
    row = simulate_scene(scene)
    return replace(row, goodput_qps=goodput_qps(scene)) if search else row


def cluster(scene: Scene) -> SimulationSettings:
    """Return the cluster of a scene."""
    return SimulationSettings(
        classes=QosClasses({one.name: one for one in _CLASSES}, default="chat"),
        placement=scene.placement,
        num_replicas=scene.replicas,
        num_routers=scene.routers,
        load_age=scene.load_age,
        faults=parse_faults(scene.fault) if scene.fault else (),
        seed=scene.seed,
    )


def _asked(scene: Scene) -> WorkloadSettings:
    return WorkloadSettings(
        workloads=(scene.workload,),
        arrivals=Poisson(),
        qps=scene.qps * scene.replicas,
        duration=scene.duration,
        context_tokens=SimulationSettings().profile.context_tokens,
    )


def goodput_qps(scene: Scene) -> float:
    """Return the highest rate, per second and replica, at which at most 1 % of every class misses its promise.

    The search begins at the scene's rate. It is 0 when no rate passes: routers may send whatever comes within a load's
    age to the same idle replica.

    Raises:
        SearchError: every rate passes.
    """
    asked = cluster(scene)
    settings = GoodputSettings(cluster=asked, workload=_asked(scene), seeds=(scene.seed,), resolution=_RESOLUTION)
    try:
        (found,) = find_goodput(settings, [asked.scheduler.policy], estimate=scene.qps).values()
    except NothingPassesError:
        return 0.0
    return found.interval.mean


def simulate_scene(scene: Scene) -> Row:
    """Run one scene at its rate."""
    settings, asked = cluster(scene), _asked(scene)
    outcomes = simulate(settings, generate_seeded(asked, settings.classes, seed=scene.seed)).outcomes
    figures = run_figures(outcomes, class_names=list(settings.classes.by_name))
    waiting = waiting_seconds(outcomes, num_replicas=scene.replicas, duration=scene.duration)
    return Row(
        scene=scene,
        spread_s=float(waiting.std(axis=1).mean()),
        peak_s=float((waiting.max(axis=1) - waiting.mean(axis=1)).mean()),
        violations=figures["violations"],
        ttft_p99_s=figures["p99_s"]["class chat"],
        num_moved=sum(outcome.num_moves > 0 for outcome in outcomes),
        num_unfinished=sum(outcome.state is not OutcomeState.COMPLETED for outcome in outcomes),
    )


_Array = np.ndarray[Any, np.dtype[np.float64]]


def waiting_seconds(outcomes: Sequence[RequestOutcome], *, num_replicas: int, duration: float) -> _Array:
    """Return the seconds of prefill that wait on each replica (columns) at each second of the run (rows).

    A prompt waits where it ended, from its arrival to its first token; one that was relegated is left out.
    """
    instants = np.arange(1.0, duration)
    change = np.zeros((len(instants) + 1, num_replicas))
    for outcome in outcomes:
        if outcome.ttft is None or outcome.relegation is Relegation.BEFORE_FIRST_TOKEN:
            continue
        replica = int(outcome.replica.rpartition("-")[2])
        begins, ends = np.searchsorted(instants, (outcome.arrival, outcome.arrival + outcome.ttft))
        change[begins, replica] += outcome.num_prompt_tokens
        change[ends, replica] -= outcome.num_prompt_tokens
    return np.asarray(np.cumsum(change, axis=0)[:-1] / _PREFILL_TOKENS_PER_SECOND)


_HEAD = (
    "placement",
    "replicas",
    "routers",
    "load age",
    "fault",
    "spread",
    "peak",
    "TTFT p99",
    "miss",
    "on time",
    "goodput",
)


def table(found: Iterable[Row]) -> str:
    """Return the rows as Markdown; what is on time, and goodput, are shares of those of the router that knows all."""
    lines = [_line(_HEAD), _line(["---", *["---:"] * 3, "---", *["---:"] * 6])]
    for row in found:
        scene = row.scene
        knows = f"{scene.load_age:g} s" if scene.load_age else "knows all"
        cells = (
            *(scene.placement, str(scene.replicas), str(scene.routers), knows, scene.fault or "–"),
            *(f"{row.spread_s:.2f} s", f"{row.peak_s:.2f} s", f"{row.ttft_p99_s:.2f} s"),
            *(f"{100 * row.violations['all']:.2f} %", f"{100 * row.on_time_ratio:.1f} %"),
            "–" if row.goodput_ratio is None else f"{row.goodput_qps:.2f}/s, {100 * row.goodput_ratio:.1f} %",
        )
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the arguments say, and print it."""
    options = _parser().parse_args(arguments)
    base = Scene(qps=options.qps, duration=options.duration, workload=options.workload, seed=options.seed)
    wanted = scenes(
        replicas=options.replicas or (64,),
        routers=options.routers or (1, 4, 16),
        load_ages=options.load_age or (0.1, 0.5, 1.0),
        placements=options.placement or ("niyama",),
        faults=("", *options.fault),
        base=base,
    )
    found = rows(wanted, jobs=options.jobs, search=options.search)
    print(json.dumps([asdict(row) for row in found], indent=1) if options.json else table(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replicas", type=int, action="append", help="may be repeated; 64 unless given")
    parser.add_argument("--routers", type=int, action="append", help="may be repeated; 1, 4 and 16 unless given")
    parser.add_argument("--load-age", type=float, action="append", help="seconds; 0.1, 0.5 and 1 unless given")
    parser.add_argument("--placement", choices=list(PLACEMENTS), action="append", help="may be repeated")
    parser.add_argument("--fault", action="append", default=[], help="as `niyama sim run --fault`, beside none")
    parser.add_argument("--qps", type=float, default=Scene().qps, help="requests per second and replica")
    parser.add_argument("--duration", type=float, default=Scene().duration, help="seconds in which requests arrive")
    parser.add_argument("--workload", default=Scene().workload)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--search", action="store_true", help="search for goodput, too: several runs a row")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
