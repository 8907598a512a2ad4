"""What a predictor costs and how far it is off: closed forms, a fitted forest, and what it is compiled to.

    python bench/predictor.py
    python bench/predictor.py --plot out/drift.png --json

Three tables. *Time of a call*: of the processor, for one iteration at a time, as a planner asks; scikit-learn's forest
is what the compiled predictor was fitted to. *Errors*: iterations are simulated under each profile's law with 5 % noise
(two policies, two workloads), a fifth of them is held out, and predictions for those are compared with the law itself.
*Drift*: a calibrated predictor on a machine that is at once 30 % slower, or as much faster: how long it takes until
predictions are off by less than 5 % for good.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from niyama_agent.profile_fit import FitReport, fit_profile
from niyama_agent.profiler import FittedForest, fit_forest
from niyama_core.calibration import CalibratedLatency
from niyama_core.latency import IterationShape, LatencyModel, ScaledLatency
from niyama_core.policies import SchedulerSettings
from niyama_core.profiles import PROFILES, LatencyProfile
from niyama_core.slo import default_classes
from niyama_eval.arrivals import parse_arrivals
from niyama_eval.iteration_records import IterationRecords
from niyama_eval.plot_look import INK, blank_figure, looks, put_head
from niyama_eval.plots import save_png
from niyama_eval.settings import WorkloadSettings
from niyama_eval.workloads import generate
from niyama_sim.cluster import simulate
from niyama_sim.engine import Iteration
from niyama_sim.settings import SimulationSettings

NAMES = ("a100-llama3-8b", "a100-llama3-8b-artifact", "a100x2-qwen-7b", "h100x4-llama3-70b")
LOADS = (("azure-code-2024", 2.5), ("sharegpt", 1.5))
POLICIES = ("qoserve", "sarathi-fcfs")
NOISE = 0.05
SHAPE = IterationShape(512, 64, 90_000, 1000, 512 * 1256.0)
CLOSE = 0.05


@dataclass(frozen=True, slots=True)
class Drift:
    """How a calibrated predictor follows a machine that is at once slower or faster.

    Attributes:
        factor: on the machine's times.
        seconds: of iterations, until predictions are off by less than a twentieth for good.
        iterations: likewise.
        off: instants, and by which factor times were predicted too long; the change is at 0.
    """

    factor: float
    seconds: float
    iterations: int
    off: tuple[tuple[float, float], ...]


def simulated_records(profile: LatencyProfile, *, num_requests: int) -> IterationRecords:
    """Return the iterations of simulated replicas: one for each policy and workload."""
    ran: list[tuple[IterationShape, float]] = []

    def put(_: str, iteration: Iteration) -> None:
        ran.append((iteration.plan.shape, iteration.seconds))

    for name, qps in LOADS:
        settings = WorkloadSettings(
            workloads=(name,), arrivals=parse_arrivals("poisson"), qps=qps, num_requests=num_requests
        )
        workload = generate(settings, default_classes(), rng=np.random.default_rng(1))
        for policy in POLICIES:
            cluster = SimulationSettings(scheduler=SchedulerSettings(policy), profile=profile, noise=NOISE, seed=1)
            simulate(cluster, workload, on_plan=put)
    return IterationRecords.timed(ran)


def microseconds(call: Callable[[], object], *, calls: int) -> float:
    """Return the processor's time of a call."""
    begun = time.thread_time()
    for _ in range(calls):
        call()
    return 1e6 * (time.thread_time() - begun) / calls


def call_times(forest: FittedForest, *, calls: int) -> dict[str, float]:
    """Return microseconds a call of each kind of predictor."""
    models: dict[str, LatencyModel] = {
        "closed form": PROFILES["a100-llama3-8b"].law,
        "two linear pieces": PROFILES["a100-llama3-8b"].predictor,
        "compiled forest": forest.compile(),
        "compiled, calibrated": CalibratedLatency(forest.compile()),
    }
    times = {name: microseconds(partial(model.iteration_time, SHAPE), calls=calls) for name, model in models.items()}
    learner = CalibratedLatency(forest.compile())
    times["to learn from an iteration"] = microseconds(partial(learner.observe, SHAPE, 0.08), calls=calls)
    one = IterationRecords.of([(512, 64, 90_000, 1000, 512 * 1256.0, 1.0)])
    times["scikit-learn's forest"] = microseconds(partial(forest.predict, one), calls=max(calls // 1000, 3))
    return times


def drift(profile: LatencyProfile, factor: float, records: IterationRecords) -> Drift:
    """Let a predictor learn the law over the records, change the machine, and watch it for two minutes."""
    predictor, rng = CalibratedLatency(profile.law), random.Random(1)
    shapes = list(records.shapes())
    for shape in shapes:
        predictor.observe(shape, profile.law.iteration_time(shape) * math.exp(rng.gauss(0.0, NOISE)))
    machine, now, off = ScaledLatency(profile.law, factor), 0.0, []
    for shape in shapes:
        truth = machine.iteration_time(shape)
        off.append((now, predictor.iteration_time(shape) / truth))
        seconds = truth * math.exp(rng.gauss(0.0, NOISE))
        predictor.observe(shape, seconds)
        now += seconds
        if now > 120:
            break
    # Of the running median, so that one odd iteration does not count as having lost it.
    medians = [float(np.median([ratio for _, ratio in off[i : i + 25]])) for i in range(len(off) - 25)]
    settled = max((i + 1 for i, median in enumerate(medians) if abs(median - 1) > CLOSE), default=0)
    return Drift(factor, off[settled][0], settled, tuple(off))


def draw(drifts: Sequence[Drift], path: Path) -> None:
    """Draw how predictions come back to the truth."""
    figure, (axes,) = blank_figure(f"{NAMES[0]}, iterations with {NOISE:.0%} noise", size=(7.2, 3.8))
    for one, (colour, line) in zip(drifts, looks(), strict=False):
        times, ratios = zip(*one.off, strict=True)
        label = f"{abs(one.factor - 1):.0%} {'slower' if one.factor > 1 else 'faster'}"
        axes.plot(
            times, [100 * (ratio - 1) for ratio in ratios], color=colour, linestyle=line, linewidth=1, label=label
        )
    for bound in (-CLOSE, CLOSE):
        axes.axhline(100 * bound, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlabel("seconds of iterations since the machine changed")
    axes.set_ylabel("predicted too long (%)")
    put_head(figure, axes, title="A calibrated predictor follows the machine")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(figure, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = _parser().parse_args(arguments)
    records = {name: simulated_records(PROFILES[name], num_requests=options.requests) for name in NAMES}
    times = call_times(fit_forest(records[NAMES[0]]), calls=options.calls)
    reports = {name: fit_profile(records[name], PROFILES[name], simulated=True)[1] for name in NAMES}
    drifts = [drift(PROFILES[NAMES[0]], factor, records[NAMES[0]]) for factor in (1.3, 0.7)]
    if options.plot is not None:
        draw(drifts, options.plot)
    if options.json:
        told = [{"factor": one.factor, "seconds": one.seconds, "iterations": one.iterations} for one in drifts]
        errors = {name: asdict(report) for name, report in reports.items()}
        print(json.dumps({"microseconds": times, "errors": errors, "drift": told}, indent=2))
    else:
        _print(times, reports, drifts=drifts)


def _print(times: dict[str, float], reports: dict[str, FitReport], *, drifts: Sequence[Drift]) -> None:
    print("microseconds a call")
    for name, microseconds_a_call in times.items():
        print(f"  {name:<46}{microseconds_a_call:9.1f}")
    print(f"\n{'errors on held-out records, against the law':<48}{'p50':>9}{'p95':>9}{'bias':>9}{'too short, p99':>16}")
    for name, report in reports.items():
        print(f"  {name}, {report.num_records:,} records")
        for predictor, figures in report.by_predictor.items():
            errors = f"{figures.p50:9.1%}{figures.p95:9.1%}{figures.bias:+9.1%}{figures.under_p99:16.1%}"
            print(f"    {predictor:<44}{errors}")
    print("\ndrift, until predictions are off by less than 5 %")
    for one in drifts:
        print(f"  {f'times x {one.factor}':<46}{one.seconds:9.1f} s {one.iterations:7,} iterations")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Time and errors of predictors.")
    parser.add_argument("--requests", type=int, default=300, help="of each simulation; default: 300")
    parser.add_argument("--calls", type=int, default=20_000, help="that are timed; default: 20000")
    parser.add_argument("--plot", type=Path, help="draw the drift as a PNG")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


if __name__ == "__main__":
    main()
