"""What `niyama sim tune` found, as a table with a verdict, and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict

from niyama_core.policies import SchedulerSettings
from niyama_eval.results import versions
from niyama_eval.sensitivity import Difference
from niyama_sim.tuning import Tuned, TuningSettings
from rich import box
from rich.console import Console
from rich.table import Table

from niyama_cli.sim_run import workload_facts

__all__ = ["print_tuned", "tuned_document"]


def print_tuned(settings: TuningSettings, tuned: Tuned, *, console: Console) -> None:
    """Print the effect of every value, whether to change anything, and the section of a manifest that does."""
    console.print(f"loss of {settings.cluster.scheduler.policy} as it is: {100 * tuned.before.mean:.2f} %")
    console.print(_table(settings, tuned))
    console.print("loss: requests that miss their promise, the mean over the classes, and late tokens beside them.")
    console.print(_verdict(settings, tuned))
    if tuned.recommended is not None:
        console.print(_section(settings, tuned.recommended))
        console.print("It is better at this load; `niyama sim goodput` says whether it is at others.")


def _table(settings: TuningSettings, tuned: Tuned) -> Table:
    """Return the effect of every value that was tried by itself, in the order of the values."""
    begin = settings.cluster.scheduler
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for label in ("setting", "value", "change of the loss", "95 % interval"):
        table.add_column(label, justify="left" if label == "setting" else "right")
    table.add_column("")
    for tunable in settings.tunables:
        mine = sorted((e for e in tuned.effects if e.setting == tunable.key), key=lambda effect: effect.value)
        for place, effect in enumerate(mine):
            name = tunable.key if place == 0 else ""
            change = effect.difference
            verdict = "as it is" if tunable.put(begin, effect.value) == begin else effect.verdict
            table.add_row(name, f"{effect.value:g}", _points(change.mean), _interval(change), verdict)
        table.add_section()
    return table


def _verdict(settings: TuningSettings, tuned: Tuned) -> str:
    """Return in words whether to change anything."""
    if tuned.before.mean == 0:
        return "Nothing misses its promise at this load, so nothing can be gained: raise --qps to learn more."
    if tuned.best is None or tuned.gain is None:
        return "No other value does better than what it has, beyond noise: leave it as it is."
    seeds = f"over {len(settings.fresh_seeds)} seeds that the search had not seen"
    change = f"{_points(tuned.gain.mean)} ({_interval(tuned.gain)}) {seeds}"
    changed = ", ".join(f"{key} {value:g}" for key, value in _changes(settings, tuned.best).items())
    if tuned.recommended is None:
        return f"The best that was found ({changed}) changes the loss by {change}: within noise. Leave it as it is."
    return f"Recommended: {changed}. It changes the loss by {change}."


def _section(settings: TuningSettings, scheduler: SchedulerSettings) -> str:
    """Return the section of a manifest that recommends settings."""
    lines = (f"    {key}: {value:g}" for key, value in _changes(settings, scheduler).items())
    return "\n".join(["spec:", "  scheduler:", f"    policy: {scheduler.policy}", *lines])


def _changes(settings: TuningSettings, scheduler: SchedulerSettings) -> Mapping[str, float]:
    """Return the settings that are not what they were, as manifests name them."""
    begin = settings.cluster.scheduler
    fields = {tunable.key: tunable.field for tunable in settings.tunables}
    return {k: getattr(scheduler, f) for k, f in fields.items() if getattr(scheduler, f) != getattr(begin, f)}


def tuned_document(settings: TuningSettings, tuned: Tuned) -> Mapping[str, object]:
    """Return the result as JSON has it."""
    recommended = tuned.recommended
    return {
        "policy": settings.cluster.scheduler.policy,
        "qps": settings.workload.qps,
        **workload_facts(settings.workload, settings.cluster),
        "seeds": list(settings.seeds),
        "fresh_seeds": list(settings.fresh_seeds),
        "loss": tuned.before.mean,
        "effects": [{**asdict(effect), "verdict": effect.verdict} for effect in tuned.effects],
        "best": None if tuned.best is None else _changes(settings, tuned.best),
        "gain": None if tuned.gain is None else asdict(tuned.gain),
        "recommended": None if recommended is None else _changes(settings, recommended),
        "verdict": _verdict(settings, tuned),
        "versions": versions(),
    }


def _points(change: float) -> str:
    """Return a change of a share in percentage points."""
    return f"{100 * change:+.2f} points"


def _interval(change: Difference) -> str:
    return "–" if change.low is None or change.high is None else f"{100 * change.low:+.2f} to {100 * change.high:+.2f}"
