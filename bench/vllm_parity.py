"""How well a simulation foretells a real engine: one traffic, on vLLM twice and in the simulator once.

    make install-vllm
    .venv-vllm/bin/python examples/tiny_llama.py out/llama
    .venv-vllm/bin/python -m bench.vllm_parity out/llama

A profile is collected on the engine first. The traffic then runs on the engine twice, which tells the machine's own
noise from one run to the next, and in the simulator, whose law is that profile and whose policies are the same objects.
Every iteration of the first run is planned again from its records.
"""

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from niyama_agent.engine_sweep import FULL_SWEEP
from niyama_agent.profile_fit import fit_profile
from niyama_agent.quick_profile import quick_profile, rows_of
from niyama_agent.vllm_engine import VllmEngine, VllmSettings
from niyama_core.journal import IterationRecord
from niyama_core.profiles import LatencyProfile
from niyama_core.replay import replay
from niyama_eval.workloads import WorkloadRequest
from niyama_runtime.clock import MonotonicClock
from niyama_sim.cluster import simulate
from niyama_sim.replica import build_planner
from niyama_sim.settings import SimulationSettings

from bench.vllm_promises import engine_arguments, serve_all
from bench.vllm_traffic import MAX_OUTPUT_TOKENS, Asked, Given, draw_traffic

_Times = dict[str, list[tuple[bool, float, float]]]


def _real(given: Sequence[Given]) -> _Times:
    """Return, by class, who was on time, and the seconds to the first and to the last token."""
    times: _Times = {}
    for one in given:
        entry = (one.is_on_time, one.delivery.ttft or 0.0, one.delivery.ttlt or 0.0)
        times.setdefault(one.asked.promise.qos_class, []).append(entry)
    return times


def _simulated(traffic: Sequence[Asked], profile: LatencyProfile, engine: VllmEngine) -> _Times:
    workload = [
        WorkloadRequest(f"r{index}", asked.at, len(asked.prompt), asked.num_output_tokens, asked.promise, "")
        for index, asked in enumerate(traffic)
    ]
    settings = SimulationSettings(
        profile=profile, scheduler=engine.facts.scheduler, max_output_tokens=MAX_OUTPUT_TOKENS
    )
    times: _Times = {}
    for outcome in simulate(settings, workload).outcomes:
        entry = (outcome.is_on_time, outcome.ttft or 0.0, outcome.ttlt or 0.0)
        times.setdefault(outcome.qos_class, []).append(entry)
    return times


def _figures(times: _Times) -> Iterator[tuple[str, float]]:
    for name, entries in sorted(times.items()):
        on_time, ttft, ttlt = np.array(entries, dtype=np.float64).T
        yield f"{name}: attained", float(on_time.mean())
        for label, column in (("TTFT", ttft), ("TTLT", ttlt)):
            yield f"{name}: {label} p50", float(np.quantile(column, 0.5))
            yield f"{name}: {label} p95", float(np.quantile(column, 0.95))


async def _measure(model: Path, *, qps: float, seconds: float, seed: int) -> None:
    records: list[IterationRecord] = []
    settings = VllmSettings(model=str(model), arguments=engine_arguments(), measure=False)
    engine = VllmEngine(settings, MonotonicClock(), on_iteration=records.append)
    await engine.start()
    running = asyncio.create_task(engine.run())
    try:
        swept = await engine.sweep(FULL_SWEEP)
        prior = quick_profile(swept, engine.key, facts=engine.facts)
        profile, report = fit_profile(rows_of(swept), prior)
        compiled = report.by_predictor["compiled"]
        print(f"profile of {len(swept)} iterations: errors p50 {compiled.p50:.1%}, p95 {compiled.p95:.1%}")
        traffic = list(draw_traffic(qps=qps, seconds=seconds, seed=seed))
        engine.plan_with(profile.predictor)
        runs = [await serve_all(engine, traffic, prefix=f"run{number}-") for number in range(2)]
        await asyncio.sleep(0.3)
    finally:
        running.cancel()
        await asyncio.wait([running])
    planner = build_planner(engine.facts.scheduler, profile, speed=1.0)
    differences = [str(difference) for difference in replay(records, planner)]
    print(f"{len(records)} iterations planned again: {differences or 'all alike'}")
    simulated = dict(_figures(_simulated(traffic, profile, engine)))
    first, second = (dict(_figures(_real(given))) for given in runs)
    print("| figure | vLLM | vLLM again | simulated | off by | allowed |\n|---|---|---|---|---|---|")
    for name, real in first.items():
        mean = (real + second[name]) / 2
        off = abs(simulated[name] - mean) / max(mean, 1e-9)
        noise = abs(real - second[name]) / max(mean, 1e-9)
        print(
            f"| {name} | {real:.3f} | {second[name]:.3f} | {simulated[name]:.3f} | {off:.1%} "
            f"| {max(0.1, 2 * noise):.1%} |"
        )


def main() -> None:
    """Read the command line and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="folder of a model; examples/tiny_llama.py builds one")
    parser.add_argument("--qps", type=float, default=12.0)
    parser.add_argument("--seconds", type=float, default=42.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    asyncio.run(_measure(options.model, qps=options.qps, seconds=options.seconds, seed=options.seed))


if __name__ == "__main__":
    main()
