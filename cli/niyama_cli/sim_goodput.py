"""`niyama sim goodput`: the highest rate at which every class keeps its promise.

What passes, and how rates are searched for, is `niyama_eval`'s to say (docs/goodput.md); here are options, a bar that
moves with every simulation, and the result as a table or as JSON.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from niyama_eval.arrivals import parse_arrivals
from niyama_eval.errors import EvaluationError
from niyama_eval.goodput import MAX_VIOLATIONS, RULES, Point, run_length
from niyama_eval.goodput_search import SearchError
from niyama_eval.results import versions
from niyama_eval.settings import WorkloadSettings, parse_mix
from niyama_sim.cluster import SimulationError
from niyama_sim.goodput import Asked, Goodput, GoodputSettings, find_goodput, sample_requests
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from niyama_cli.class_doubts import refuse_impossible
from niyama_cli.errors import told_plainly
from niyama_cli.json_output import print_json
from niyama_cli.sim_options import (
    ArrivalsOption,
    ClassesOption,
    DurationOption,
    LoadAgeOption,
    LowImportanceOption,
    MixOption,
    NoiseOption,
    NumRequestsOption,
    PoliciesOption,
    ProfileOption,
    RateLimitOption,
    ReplicasOption,
    RoutersOption,
    SeedOption,
    SiloOption,
    SpreadOption,
    WorkloadsOption,
    one_of,
)
from niyama_cli.sim_run import simulated_cluster, usual_policy, workload_facts
from niyama_cli.sim_settings import changed

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_Points = dict[Asked, Point]


@app.command(
    help="Search for the highest rate at which at most 1 % of every class misses its promise.",
    epilog="Runs are as long as the published ones, because short ones flatter every policy: this takes minutes. "
    "Example: niyama sim goodput --workload azure-code-2024 --policy niyama --rule strict --jobs 4",
)
def goodput(
    workload: WorkloadsOption,
    policy: PoliciesOption = None,
    rule: Annotated[
        str, typer.Option("--rule", callback=one_of(RULES), help=f"{', '.join(RULES)}; see docs/goodput.md.")
    ] = "published",
    replicas: ReplicasOption = 1,
    placement: SpreadOption = None,
    silo: SiloOption = None,
    rate_limit: RateLimitOption = None,
    routers: RoutersOption = None,
    load_age: LoadAgeOption = None,
    arrivals: ArrivalsOption = "poisson",
    mix: MixOption = None,
    classes: ClassesOption = None,
    low_importance: LowImportanceOption = None,
    num_requests: NumRequestsOption = None,
    duration: DurationOption = None,
    profile: ProfileOption = "a100-llama3-8b",
    noise: NoiseOption = 0.05,
    seed: SeedOption = 1,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many, from --seed on; a search each.")] = 3,
    resolution: Annotated[
        float, typer.Option("--resolution", min=0.001, max=1, help="How far apart rates are that are tried.")
    ] = 0.01,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Simulations at a time.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search for each policy and seed, tell."""
    with told_plainly(EvaluationError, SimulationError, SearchError):
        whole = simulated_cluster(
            classes=classes, placement="niyama", profile=profile, replicas=replicas, noise=noise, seed=seed
        )
        wanted = {"silo": silo, "placement": placement, "rate-limit": rate_limit}
        cluster = changed(whole, {**wanted, "routers": routers, "load-age": load_age})
        length = (
            run_length(workload) * cluster.num_replicas if num_requests is None and duration is None else num_requests
        )
        asked = WorkloadSettings(
            workloads=tuple(workload),
            arrivals=parse_arrivals(arrivals),
            qps=1.0,
            num_requests=length,
            duration=duration,
            mix=None if mix is None else parse_mix(mix),
            low_importance=low_importance,
            context_tokens=cluster.profile.context_tokens,
        )
        settings = GoodputSettings(
            cluster=cluster, workload=asked, rule=rule, seeds=range(seed, seed + seeds), resolution=resolution
        )
        console = Console(stderr=True)
        refuse_impossible(sample_requests(settings), cluster.profile, tolerated=MAX_VIOLATIONS, console=console)
        found, points = _search(settings, policy or [usual_policy(cluster)], jobs=jobs)
    if as_json:
        print_json(_document(settings, found, points=points))
    else:
        Console(width=None if sys.stdout.isatty() else 120).print(_table(settings, found))


def _search(settings: GoodputSettings, policies: list[str], *, jobs: int) -> tuple[Mapping[str, Goodput], _Points]:
    """Search under a bar; return what was found, and every point that was simulated."""
    points: _Points = {}
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tell = _teller(settings, progress, points=points)
        found = find_goodput(settings, list(dict.fromkeys(policies)), jobs=jobs, on_point=tell)
    return found, points


def _teller(settings: GoodputSettings, progress: Progress, *, points: _Points) -> Callable[[Asked, Point], None]:
    """Return what keeps a point and tells of it. How many a search needs is not known before."""
    task = progress.add_task(f"{settings.workload.num_requests or 'many'} requests a run", total=None)

    def tell(asked: Asked, point: Point) -> None:
        points[asked] = point
        verdict = "fails" if RULES[settings.rule](point) else "passes"
        run = f"{asked.policy}, seed {asked.seed}, {asked.qps:.3g} QPS {verdict}"
        progress.update(task, description=f"{len(points)} simulated; {run}")

    return tell


def _table(settings: GoodputSettings, found: Mapping[str, Goodput]) -> Table:
    """Return the goodput of each policy."""
    replicas = settings.cluster.num_replicas
    title = f"goodput, requests per second and replica; rule {settings.rule}, {settings.cluster.profile.name}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for label in ("policy", "goodput", "95 % interval", "seeds", *(("all replicas",) if replicas > 1 else ())):
        table.add_column(label, justify="left" if label == "policy" else "right")
    table.add_column("the next rate fails, because")
    for policy, one in found.items():
        interval = one.interval
        spread = "–" if interval.ci is None else f"{interval.ci[0]:.2f} to {interval.ci[1]:.2f}"
        total = (f"{interval.mean * replicas:.2f}",) if replicas > 1 else ()
        why = "; ".join(next(iter(one.limits.values())))
        table.add_row(policy, f"{interval.mean:.2f}", spread, str(len(one.by_seed)), *total, why)
    return table


def _document(settings: GoodputSettings, found: Mapping[str, Goodput], *, points: _Points) -> Mapping[str, object]:
    """Return the result as JSON has it: that of a single policy on the first level, too."""
    policies = {policy: _policy_document(settings, one) for policy, one in found.items()}
    return {
        **(next(iter(policies.values())) if len(policies) == 1 else {}),
        "rule": settings.rule,
        "resolution": settings.resolution,
        "seeds": list(settings.seeds),
        **workload_facts(settings.workload, settings.cluster),
        "versions": versions(),
        "policies": policies,
        "points": [_point_document(asked, point, rule=settings.rule) for asked, point in points.items()],
    }


def _policy_document(settings: GoodputSettings, one: Goodput) -> dict[str, Any]:
    interval = one.interval
    return {
        "goodput_qps": interval.mean,
        "ci": interval.ci,
        "all_replicas_qps": interval.mean * settings.cluster.num_replicas,
        "by_seed": dict(one.by_seed),
        "limits": {seed: list(reasons) for seed, reasons in one.limits.items()},
    }


def _point_document(asked: Asked, point: Point, *, rule: str) -> dict[str, Any]:
    failures = list(RULES[rule](point))
    return {"policy": asked.policy, "seed": asked.seed, "qps": asked.qps, **point.to_json(), "failures": failures}
