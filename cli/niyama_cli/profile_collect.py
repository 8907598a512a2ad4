"""`niyama profile collect`: a real engine driven through iterations of many shapes, and a profile of what they took."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from niyama_core.journal import IterationRecord
from niyama_runtime.clock import MonotonicClock
from rich.console import Console

from niyama_cli.errors import CommandError, told_plainly
from niyama_cli.sim_records import recorded_in

if TYPE_CHECKING:
    from niyama_agent.vllm_engine import VllmEngine

__all__ = ["app"]

app = typer.Typer(add_completion=False)

ModelOption = Annotated[str, typer.Option("--model", help="Name or path of the model.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="PROFILE", help="The profile file to write, in place of the stored one."),
]
RecordsOption = Annotated[Path | None, typer.Option("--records", metavar="CSV", help="Keep the iterations, too.")]
QuickOption = Annotated[bool, typer.Option("--quick", help="Measure for seconds, as a replica does at its start.")]
ArgumentsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="-- VLLM_ARGUMENT...", help="vLLM's own, as replicas will have them.")
]


@app.command(
    help="Measure how long iterations take on this machine: vLLM runs a grid of chunks, decodes and contexts, and a "
    "latency profile is fitted to them, which replicas of the model on such a machine find by themselves.",
    epilog="Example: niyama profile collect --model out/tiny-llama -- --max-model-len 2048 --enforce-eager",
)
def collect(
    model: ModelOption,
    output: OutputOption = None,
    records: RecordsOption = None,
    quick: QuickOption = False,
    arguments: ArgumentsArgument = None,
) -> None:
    """Load, drive, fit, write, tell."""
    try:
        from niyama_agent.engine import EngineError
        from niyama_agent.vllm_engine import VllmEngine, VllmSettings
    except ModuleNotFoundError as error:
        raise CommandError(f"measuring needs {error.name}: install niyama[vllm], or see docs/vllm.md") from error
    settings = VllmSettings(model=model, arguments=tuple(arguments or ()), measure=False)
    engine = VllmEngine(settings, MonotonicClock(), on_iteration=lambda record: None)
    console = Console(stderr=True)
    with told_plainly(EngineError), console.status("loading the model, then running iterations"):
        measured = asyncio.run(_measured(engine, quick=quick))
    with recorded_in(records) as put:
        if put is not None:
            for record in measured:
                put("", record)
    with told_plainly(OSError):
        path = _write_profile(engine, measured, output=output, quick=quick)
    console.print(f"{len(measured):,} iterations measured. Written: {path}. Next: niyama profile show {path}")


async def _measured(engine: "VllmEngine", *, quick: bool) -> list[IterationRecord]:
    from niyama_agent.engine_sweep import FULL_SWEEP, QUICK_SWEEP

    await engine.start()
    running = asyncio.create_task(engine.run())
    try:
        return await engine.sweep(QUICK_SWEEP if quick else FULL_SWEEP)
    finally:
        running.cancel()
        await asyncio.wait([running])


def _write_profile(
    engine: "VllmEngine", measured: Sequence[IterationRecord], *, output: Path | None, quick: bool
) -> Path:
    from niyama_agent.profile_fit import fit_profile
    from niyama_agent.profile_store import profile_path, store_profile
    from niyama_agent.quick_profile import quick_profile, rows_of

    profile = quick_profile(measured, engine.key, facts=engine.facts)
    if not quick:
        profile, _ = fit_profile(rows_of(measured), profile)
    path = output or profile_path(engine.key)
    store_profile(profile, path)
    return path
