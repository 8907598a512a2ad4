"""`niyama sim`: the policies that production runs, without GPUs and in no time."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from niyama_core.replay import ReplayError
from niyama_eval.arrivals import parse_arrivals
from niyama_eval.assessment import LONG_PROMPT_TOKENS
from niyama_eval.counted import Counted
from niyama_eval.errors import EvaluationError
from niyama_eval.results import results_document, slos_of, versions
from niyama_eval.settings import WorkloadSettings, parse_mix
from niyama_eval.tables import comparison_table, run_table
from niyama_runtime.profile_file import find_profile
from niyama_sim.cluster import SimulationError
from niyama_sim.replay import LogError, RunReport, replay_log
from niyama_sim.settings import SimulationSettings
from rich.console import Console

from niyama_cli.class_doubts import warn_of_impossible
from niyama_cli.errors import CommandError, told_plainly
from niyama_cli.json_output import print_json
from niyama_cli.sim_compare import app as compare_app
from niyama_cli.sim_goodput import app as goodput_app
from niyama_cli.sim_options import (
    ArrivalsOption,
    ClassesOption,
    CoolDownOption,
    DurationOption,
    FaultsOption,
    LoadAgeOption,
    LowImportanceOption,
    MixOption,
    NoiseOption,
    NumRequestsOption,
    PoliciesOption,
    ProfileOption,
    QpsOption,
    RateLimitOption,
    RecordsOption,
    ReplayProfileOption,
    ReplicasOption,
    RoutersOption,
    SeedOption,
    SiloOption,
    SpreadOption,
    WarmUpOption,
    WorkloadsOption,
)
from niyama_cli.sim_records import recorded_in
from niyama_cli.sim_run import (
    PolicyRun,
    draw_workload,
    engine_table,
    prompt_table,
    run_policies,
    simulated_cluster,
    usual_policy,
    workload_facts,
)
from niyama_cli.sim_settings import changed
from niyama_cli.sim_sweep import app as sweep_app
from niyama_cli.sim_tune import app as tune_app

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Try policies without GPUs, and plan real iterations again.",
    epilog="Example: niyama sim run --workload azure-code-2024 --qps 3 --num-requests 2000 --policy niyama",
)
app.add_typer(compare_app)
app.add_typer(sweep_app)
app.add_typer(goodput_app)
app.add_typer(tune_app)


@app.command(
    help="Simulate a cluster under a workload; several policies are given the very same requests. "
    "(`niyama sim compare` repeats that over seeds, and tells differences from chance.)",
    epilog="Example: niyama sim run --workload azure-code-2024 --qps 3 --num-requests 2000 "
    "--policy sarathi-fcfs --policy niyama",
)
def run(
    workload: WorkloadsOption,
    qps: QpsOption = None,
    policy: PoliciesOption = None,
    replicas: ReplicasOption = 1,
    placement: SpreadOption = None,
    silo: SiloOption = None,
    rate_limit: RateLimitOption = None,
    routers: RoutersOption = None,
    load_age: LoadAgeOption = None,
    fault: FaultsOption = None,
    arrivals: ArrivalsOption = "poisson",
    mix: MixOption = None,
    classes: ClassesOption = None,
    low_importance: LowImportanceOption = None,
    num_requests: NumRequestsOption = None,
    duration: DurationOption = None,
    warm_up: WarmUpOption = 0.0,
    cool_down: CoolDownOption = 0.0,
    profile: ProfileOption = "a100-llama3-8b",
    noise: NoiseOption = 0.05,
    seed: SeedOption = 1,
    records: RecordsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw the requests, run them under each policy, tell."""
    console = Console(stderr=True)
    whole = simulated_cluster(
        classes=classes, placement="niyama", profile=profile, replicas=replicas, noise=noise, seed=seed
    )
    wanted = {"silo": silo, "placement": placement, "rate-limit": rate_limit, "routers": routers, "load-age": load_age}
    cluster = changed(whole, {**wanted, "fault": ",".join(fault) if fault else None})
    with told_plainly(EvaluationError, SimulationError):
        settings = WorkloadSettings(
            workloads=tuple(workload),
            arrivals=parse_arrivals(arrivals),
            qps=qps,
            num_requests=num_requests,
            duration=duration,
            mix=None if mix is None else parse_mix(mix),
            low_importance=low_importance,
            context_tokens=cluster.profile.context_tokens,
        )
        requests = draw_workload(settings, cluster.classes, seed=seed)
        warn_of_impossible(requests, cluster.profile, console=console)
        counted = Counted(warm_up, cool_down)
        policies = policy or [usual_policy(cluster)]
        with recorded_in(records) as sink:
            runs = run_policies(policies, requests, cluster=cluster, counted=counted, console=console, on_plan=sink)
    if as_json:
        print_json({**_document(settings, cluster, runs=runs), **counted.to_json()})
    else:
        _print(cluster, runs)
        if fault:
            typer.echo(f"what went wrong: {', '.join(fault)}")
        if warm_up or cool_down:
            num_counted = len(next(iter(runs.values())).outcomes)
            typer.echo(f"{num_counted:,} of {len(requests):,} requests count: warm-up and cool-down are left out")


@app.command(
    help="Plan the iterations of decision logs again, and name whatever is planned otherwise.",
    epilog="Example: niyama sim replay decisions.jsonl",
)
def replay(
    logs: Annotated[
        list[Path], typer.Argument(metavar="LOG...", help="Decision logs; files rotated out of them are read, too.")
    ],
    profile: ReplayProfileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Exit with 1 when anything differs."""
    given = None if profile is None else find_profile(profile)
    with told_plainly(OSError, LogError, ReplayError), Console(stderr=True).status("planning again"):
        reports = [(log, report) for log in logs for report in replay_log(log, profile=given)]
    if as_json:
        print_json([_report_document(log, report) for log, report in reports])
    else:
        for log, report in reports:
            typer.echo(f"{log}: {_report_in_words(report)}")
    if not any(report.num_iterations for _, report in reports):
        raise CommandError("there is no iteration that could be planned again")
    if any(report.differences for _, report in reports):
        raise typer.Exit(1)


def _print(cluster: SimulationSettings, runs: Mapping[str, PolicyRun]) -> None:
    """Print the table of one policy, or those of several side by side, and below it what the replicas did."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    pools = f" in pools of {', '.join(str(pool.num_replicas) for pool in cluster.pools)}" if cluster.pools else ""
    several = f"{cluster.num_replicas} replicas{pools}, {cluster.placement}"
    replicas = "1 replica" if cluster.num_replicas == 1 else several
    if len(runs) == 1:
        ((policy, only),) = runs.items()
        console.print(run_table(only.figures, title=f"{policy}, simulated, {replicas} of {cluster.profile.name}"))
    else:
        outcomes = [outcome for one in runs.values() for outcome in one.outcomes]
        console.print(f"simulated, {replicas} of {cluster.profile.name}", highlight=False)
        console.print(comparison_table({name: one.figures for name, one in runs.items()}, slos=slos_of(outcomes)))
    console.print(prompt_table(runs))
    console.print(engine_table(runs))


def _document(
    settings: WorkloadSettings, cluster: SimulationSettings, *, runs: Mapping[str, PolicyRun]
) -> Mapping[str, object]:
    """Return the content of `results.json`, with what it depends on and what the replicas did."""
    facts = {
        **workload_facts(settings, cluster),
        "qps": settings.qps,
        "seed": cluster.seed,
        "versions": versions(),
        "long_prompt_tokens": LONG_PROMPT_TOKENS,
        "by_prompt": {
            policy: {name: asdict(side) for name, side in one.by_prompt.items()} for policy, one in runs.items()
        },
        "engines": {policy: asdict(one.engines) for policy, one in runs.items()},
    }
    return results_document({policy: one.figures for policy, one in runs.items()}, facts)


def _report_document(log: Path, report: RunReport) -> Mapping[str, object]:
    return {
        "log": str(log),
        "replica": report.header.replica,
        "policy": report.header.scheduler.policy,
        "num_iterations": report.num_iterations,
        "differences": [
            {
                "iteration": difference.index,
                "field": difference.field,
                "recorded": repr(difference.recorded),
                "replayed": repr(difference.replayed),
            }
            for difference in report.differences
        ],
        "stopped": report.stopped or None,
    }


def _report_in_words(report: RunReport) -> str:
    head = f"{report.header.replica or 'a replica'}, {report.header.scheduler.policy}"
    if not report.num_iterations:
        return f"{head}: cannot be planned again: {report.stopped}"
    iterations = "1 iteration" if report.num_iterations == 1 else f"{report.num_iterations:,} iterations"
    done = f"{head}: {iterations} planned again"
    if report.differences:
        return "\n  ".join([f"{done}, the last of them otherwise", *map(str, report.differences)])
    return f"{done}, all alike" + (f"; no further: {report.stopped}" if report.stopped else "")
