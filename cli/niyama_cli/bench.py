"""`niyama bench`: load for any cluster, and the figures of what it kept of its promises."""

import asyncio
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import typer
from niyama_core.units import format_duration
from niyama_eval.arrivals import Arrivals, Poisson, Replayed, parse_arrivals
from niyama_eval.errors import EvaluationError
from niyama_eval.figures import WORKLOADS
from niyama_eval.results import PolicyResult, results_document, summarise, versions, write_results
from niyama_eval.settings import WorkloadSettings
from niyama_eval.tables import run_table
from rich.console import Console

from niyama_cli.bench_options import (
    ArrivalsOption,
    ClassesOption,
    CountOption,
    DurationOption,
    JsonOption,
    LowImportanceOption,
    ManifestOption,
    MixOption,
    OutOption,
    PatienceOption,
    PlotsOption,
    RateOption,
    ReplayOption,
    SeedOption,
    TraceOption,
    WorkloadOption,
)
from niyama_cli.bench_run import BenchResult, BenchSettings, run_bench
from niyama_cli.errors import INTERRUPTED, CommandError, told_of_interruption, told_plainly
from niyama_cli.json_output import print_json
from niyama_cli.manifest_file import read_cluster
from niyama_cli.option_types import (
    AddressOption,
    CaOption,
    CertificateOption,
    KeyOption,
    TlsOption,
    router_target,
)
from niyama_cli.router_client import asking

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EXAMPLES = """Examples: niyama bench --workload azure-conv-2023 --qps 4 --duration 30s;
niyama bench --trace AzureLLMInferenceTrace_code.csv --duration 5m --replay --out out --plots out/plots"""
# A generator that sends later than this measures its own machine, too.
_TOLERABLE_LAG_SECONDS = 0.1


@app.command(
    help="Send load to a cluster, whether it keeps up or not, and measure what it keeps of its promises.",
    epilog=_EXAMPLES,
)
def bench(
    trace: TraceOption = None,
    workload: WorkloadOption = None,
    qps: RateOption = None,
    duration: DurationOption = None,
    num_requests: CountOption = None,
    arrivals: ArrivalsOption = None,
    file: ManifestOption = None,
    classes: ClassesOption = None,
    mix: MixOption = None,
    low_importance: LowImportanceOption = None,
    seed: SeedOption = 1,
    replay: ReplayOption = False,
    patience: PatienceOption = None,
    as_json: JsonOption = False,
    out: OutOption = None,
    plots: PlotsOption = None,
    address: AddressOption = None,
    tls: TlsOption = False,
    tls_ca: CaOption = None,
    tls_cert: CertificateOption = None,
    tls_key: KeyOption = None,
) -> None:
    """Make the load, send it, and tell."""
    target = router_target(address, tls=tls, ca=tls_ca, cert=tls_cert, key=tls_key)
    with told_plainly(EvaluationError), asking(target), told_of_interruption():
        settings = BenchSettings(
            workload=WorkloadSettings(
                workloads=_sources(trace, workload),
                arrivals=_arrivals(arrivals, replays=bool(trace)),
                qps=qps,
                num_requests=num_requests,
                duration=duration,
                low_importance=low_importance,
            ),
            classes=tuple(classes or ()),
            declared=None if file is None else read_cluster(file).qos_classes,
            mix=mix,
            seed=seed,
            replay=replay,
            patience=patience,
        )
        result = asyncio.run(run_bench(target, settings, console=Console(stderr=True)))
    figures = summarise(result.outcomes, class_names=result.class_names)
    if as_json:
        print_json(results_document({result.policy: figures}, _facts(settings, result)))
    else:
        _print(result, figures)
    with told_plainly(OSError):
        _write(settings, result, out=out, plots=plots)
    if result.is_interrupted:
        raise CommandError(_interruption(result), exit_code=INTERRUPTED)


def _sources(traces: list[Path] | None, workloads: list[str] | None) -> tuple[str, ...]:
    sources = (*map(str, traces or ()), *(workloads or ()))
    if not sources:
        known = ", ".join(WORKLOADS)
        raise CommandError(f"what is to be sent? Give --trace FILE, or --workload with one of {known}", exit_code=2)
    return sources


def _arrivals(text: str | None, *, replays: bool) -> Arrivals:
    if text is not None:
        return parse_arrivals(text)
    return Replayed() if replays else Poisson()


def _print(result: BenchResult, figures: PolicyResult) -> None:
    """Print the table, and what a reader must know to believe it."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    description = result.description
    engine = "engine paced: no model runs" if description.engine == "paced" else f"engine {description.engine}"
    console.print(run_table(figures, title=f"{result.status.cluster}, policy {result.policy}, {engine}"))
    for reason, count in result.meter.failures.most_common(5):
        console.print(f"{count:,} times {reason}", style="yellow", highlight=False)
    if result.meter.largest_lag > _TOLERABLE_LAG_SECONDS:
        lag = format_duration(result.meter.largest_lag)
        console.print(f"this machine was too busy: a request was sent {lag} late", style="bold yellow")


def _interruption(result: BenchResult) -> str:
    ended = f"{len(result.outcomes):,} of {result.num_planned:,} requests had ended"
    return f"interrupted: {ended}; {result.meter.num_open:,} under way are not counted"


def _write(settings: BenchSettings, result: BenchResult, *, out: Path | None, plots: Path | None) -> None:
    """Write the files that were asked for."""
    facts = _facts(settings, result)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        figures = summarise(result.outcomes, class_names=result.class_names)
        write_results(out / "results.json", {result.policy: figures}, settings=facts)
    if plots is not None:
        _write_report(settings, result, folder=plots)


def _facts(settings: BenchSettings, result: BenchResult) -> Mapping[str, object]:
    workload = settings.workload
    return {
        "traffic": [Path(name).name for name in workload.workloads],
        "arrivals": str(workload.arrivals),
        "qps": workload.qps,
        "duration_s": workload.duration,
        "low_importance": workload.low_importance,
        "classes": list(settings.classes) or list(result.class_names),
        "mix": settings.mix,
        "seed": settings.seed,
        "replay": settings.replay,
        **result.facts(),
        "versions": versions(),
    }


def _write_report(settings: BenchSettings, result: BenchResult, *, folder: Path) -> None:
    # Imports matplotlib, which takes a second: only who asks for plots waits for it.
    from niyama_eval.report import About, write_report

    names = ", ".join(Path(name).name for name in settings.workload.workloads)
    about = About(
        title=f"Promises of {result.status.cluster}",
        lead=f"{len(result.outcomes)} requests like those of {names}, sent whether the cluster kept up or not.",
        settings=_facts(settings, result),
        reproduce=shlex.join(["niyama", *sys.argv[1:]]),
        source=f"niyama bench: {names}",
    )
    write_report(folder, {result.policy: result.outcomes}, about=about, class_names=result.class_names)
    typer.echo(f"report: {folder / 'report.html'}", err=True)
