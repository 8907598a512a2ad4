"""What `niyama sim compare` and `niyama sim sweep` share: their options, and a contest that is held under a bar."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import typer
from niyama_core.policies import POLICIES
from niyama_eval.run_figures import Figures
from niyama_sim.contest import Contest, Trial, hold
from niyama_sim.settings import SimulationSettings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from niyama_cli.class_doubts import warn_of_impossible
from niyama_cli.contenders import read_contenders
from niyama_cli.option_types import completion_of
from niyama_cli.sim_run import draw_workload

__all__ = [
    "REQUESTS_A_REPLICA",
    "ContendersOption",
    "JobsOption",
    "SeedsOption",
    "contenders_facts",
    "hold_under_a_bar",
    "read_usual",
]

REQUESTS_A_REPLICA = 3_000
"""How many requests a run has, for each replica, unless it is said."""

ContendersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        "-p",
        metavar="TEXT",
        autocompletion=completion_of(POLICIES),
        show_default="niyama, qoserve, sarathi-fcfs",
        help=f"A contender: a policy ({', '.join(POLICIES)}), and whatever else is different about its cluster, in "
        "quotes: 'niyama placement=least-loaded', 'qoserve alpha=0.004', 'sarathi-fcfs silo=7,3,3'; may be repeated.",
    ),
]
SeedsOption = Annotated[int, typer.Option("--seeds", min=1, help="How many, from --seed on; a run of everything each.")]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Simulations at a time.")]

_USUAL = ("niyama", "qoserve", "sarathi-fcfs")


def read_usual(texts: Sequence[str] | None, cluster: SimulationSettings) -> dict[str, SimulationSettings]:
    """Return the contenders that are named, or the usual ones.

    Raises:
        CommandError: a text names none.
    """
    return read_contenders(texts or _USUAL, cluster)


def hold_under_a_bar(contest: Contest, *, jobs: int) -> Mapping[Trial, Figures]:
    """Run all trials of a contest; a bar on standard error moves with each.

    What no idle replica of the first contender could keep, and what was cut to the context, is told before.

    Raises:
        CommandError: no request arrives.
        EvaluationError: the requests cannot be drawn, or none of them counts.
        SimulationError: a cluster cannot run them.
    """
    console = Console(stderr=True)
    trial = contest.trials()[0]
    first = contest.contenders[trial.contender]
    requests = draw_workload(replace(contest.workload, qps=trial.qps), first.classes, seed=trial.seed)
    warn_of_impossible(requests, first.profile, console=console)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("simulating", total=len(contest.trials()))
        return hold(contest, jobs=jobs, on_trial=lambda trial, figures: progress.advance(task))


def contenders_facts(contest: Contest) -> Mapping[str, object]:
    """Return what each contender's cluster is, as JSON has it."""
    return {
        name: {
            "policy": cluster.scheduler.policy,
            "placement": cluster.placement,
            "profile": cluster.profile.name,
            "replicas": cluster.num_replicas,
            "pools": [pool.num_replicas for pool in cluster.pools],
            "routers": cluster.num_routers,
            "load_age_s": cluster.load_age,
        }
        for name, cluster in contest.contenders.items()
    }
