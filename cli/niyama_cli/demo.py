"""`niyama demo`: a real cluster keeps promises where first come, first served breaks them."""

import asyncio
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from niyama_eval.errors import EvaluationError
from niyama_eval.report import About, write_report
from niyama_eval.results import PolicyResult, slos_of
from niyama_eval.tables import comparison_table
from rich.console import Console

from niyama_cli.demo_stage import DemoStage
from niyama_cli.demonstration import BASELINE, OURS, Demonstration, DemoResult, DemoSettings
from niyama_cli.errors import CommandError, told_of_interruption, told_plainly
from niyama_cli.local_cluster import ClusterStartError
from niyama_cli.manifest_file import read_cluster

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_SHIPPED_TRAFFIC = ("azure-code-2023", "azure-conv-2023")
_DEFAULT_MANIFEST = Path("examples/niyamacluster.yaml")
_DEFAULT_OUT = Path("out/demo")


@app.command(
    help="Show a real cluster on this machine keep promises that first come, first served breaks.",
    epilog="Example: niyama demo --trace AzureLLMInferenceTrace_code.csv --trace AzureLLMInferenceTrace_conv.csv",
)
def demo(
    file: Annotated[Path, typer.Option("--file", "-f", help="The cluster's manifest.")] = _DEFAULT_MANIFEST,
    trace: Annotated[
        list[Path] | None,
        typer.Option(help="Replay this trace; repeat to mix several.", show_default="figures of the Azure 2023 traces"),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the report goes.")] = _DEFAULT_OUT,
    seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="For how many seconds requests arrive, in each of the two runs.")
    ] = 30.0,
    load: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=10,
            help="Requests to send, as a multiple of what the cluster can carry: 1.5 is half as many again.",
        ),
    ] = 1.5,
    low_importance: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the requests that are unimportant, from 0 to 1: under overload these give way first.",
        ),
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Draws another stretch of the same traffic.")] = 1,
) -> None:
    """Run the experiment, print the table, write the report."""
    settings = DemoSettings(
        spec=read_cluster(file),
        workloads=tuple(map(str, trace)) if trace else _SHIPPED_TRAFFIC,
        seconds=seconds,
        load=load,
        low_importance=low_importance,
        seed=seed,
    )
    console = Console()
    with told_of_interruption(), told_plainly(EvaluationError, ClusterStartError), DemoStage(console) as stage:
        result = asyncio.run(Demonstration(settings, stage).run())
    command = ["niyama", "demo", "-f", str(file), "--seconds", f"{seconds:g}", "--load", f"{load:g}"]
    command += ["--low-importance", f"{low_importance:g}", "--seed", str(seed)]
    command += [part for path in trace or () for part in ("--trace", str(path))]
    with told_plainly(OSError):
        results = write_report(
            out,
            result.outcomes,
            about=_about(settings, result, reproduce=shlex.join(command)),
            class_names=settings.spec.qos_classes.by_name,
        )
    _show(result, results, console=console)
    console.print(f"\nreport: {out / 'report.html'}   figures: {out / 'results.json'}")
    lost = sum(policy.num_lost for policy in results.values())
    if lost:
        raise CommandError(f"{lost} accepted requests neither completed nor ended with an error")


def _show(result: DemoResult, results: Mapping[str, PolicyResult], *, console: Console) -> None:
    """Print the figures side by side."""
    slos = slos_of(outcome for outcomes in result.outcomes.values() for outcome in outcomes)
    console.print(comparison_table(results, slos=slos))
    ours, theirs = results[OURS], results[BASELINE]
    console.print(
        f"[bold]{OURS}[/] kept {_percent(ours.important_on_time)} of the important promises, "
        f"first come, first served {_percent(theirs.important_on_time)}."
    )


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f} %"


def _about(settings: DemoSettings, result: DemoResult, *, reproduce: str) -> About:
    """Return what a reader must know to believe the report."""
    spec, saturation = settings.spec, result.saturation
    num_requests = len(next(iter(result.outcomes.values())))
    shipped = settings.workloads == _SHIPPED_TRAFFIC
    return About(
        title="Promises under overload",
        lead=f"{num_requests} requests in {settings.seconds:g} s, {settings.load:g} times what the cluster can carry, "
        f"sent to the same {spec.replicas} paced replicas twice: scheduled first come, first served ({BASELINE}), and "
        f"by deadlines ({OURS}). Same requests, same instants, same lengths. The classes are the published ones with "
        "their times scaled down, so that a minute shows what happens when they run short. In place of the manifest's "
        f"importance, {settings.low_importance:.0%} of every class, drawn at random, may give way. What cannot be "
        "served at once waits; where its deadline leaves time for that, it is on time all the same.",
        settings={
            "load": settings.load,
            "saturation_rps": round(saturation.throughput, 3),
            "saturation_concurrency": saturation.concurrency,
            "saturation_steps": [[run.concurrency, round(run.throughput, 3)] for run in saturation.runs],
            "qps": round(result.qps, 3),
            "seconds": settings.seconds,
            "low_importance": settings.low_importance,
            "replicas": spec.replicas,
            "engine": "paced",
            "profile": spec.engine.profile,
            "iteration_noise_sigma": settings.noise,
            "seed": settings.seed,
            "traffic": [Path(name).name for name in settings.workloads],
            "largest_send_lag_s": round(result.largest_lag, 4),
        },
        reproduce=reproduce,
        source="Azure LLM inference traces 2023 (CC BY 4.0), arrivals and lengths drawn from their figures"
        if shipped
        else f"replayed: {', '.join(Path(name).name for name in settings.workloads)}",
    )
