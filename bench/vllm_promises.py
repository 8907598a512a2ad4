"""Keeping promises on a real engine: the same arrivals against stock vLLM and against Niyama.

    make install-vllm
    .venv-vllm/bin/python examples/tiny_llama.py out/llama
    .venv-vllm/bin/python -m bench.vllm_promises out/llama

First the throughput at which stock vLLM saturates is measured: the tokens a second of a fixed number of requests kept
open, over the mean tokens of a request. Then, at 1.5 times that, every contender gets the same arrivals, one after the
other, several rounds: stock first come first served and by priority (important interactive, important batch, then the
others), with vLLM's default step of tokens and with the largest that keeps the promised time a token, and Niyama.

The model is such that a CPU's iterations take about as long as a GPU's and grow with their tokens: without AVX-512, in
fp32, the tiny one takes 12 ms for a token and 92 ms for 512.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")

from niyama_agent.engine import EngineRequest, Finished, TokensEmitted
from niyama_agent.vllm_answer import sampling_params
from niyama_agent.vllm_engine import VllmEngine, VllmSettings
from niyama_core.delivery import Delivery
from niyama_core.slo import Importance, Interactive
from niyama_runtime.clock import MonotonicClock
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.inputs import TokensPrompt
from vllm.v1.engine.async_llm import AsyncLLM

from bench.vllm_traffic import CHAT_TBT, Asked, Figures, Given, draw_traffic, mean_tokens

_COMMON = {"dtype": "float32", "enforce_eager": True, "max_model_len": 2048, "gpu_memory_utilization": 0.3}
_STEPS = (320, 256, 192, 128, 64)
_OPEN = 48
_SATURATION_SECONDS = 30.0
_TRIAL_SECONDS = 10.0
_OVERLOAD = 1.5
_HEAD = (
    "contender",
    "important missed",
    "important broken",
    "all missed",
    "late tokens",
    "gap p99 (ms)",
    "TTFT p50 / p95 (s)",
    "tokens/s",
    "incomplete",
)


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to schedule: `policy` is vLLM's, or `niyama`; `step` is the most tokens of a step, None for the default."""

    policy: str
    step: int | None = None

    @property
    def name(self) -> str:
        """For tables."""
        return self.policy if self.policy == "niyama" else f"vllm {self.policy}, {self.step or 'default'}"


class Stock:
    """vLLM as it comes, behind the same `generate` as Niyama's engine."""

    def __init__(self, llm: AsyncLLM) -> None:
        self._llm = llm
        self._advised = llm.model_config.get_diff_sampling_param()

    async def generate(self, request: EngineRequest) -> AsyncIterator[TokensEmitted | Finished]:
        """Yield what comes, each with the instant at which it came."""
        promise = request.request.promise
        priority = 2 * (promise.importance is Importance.LOW) + (not isinstance(promise.slo, Interactive))
        prompt = TokensPrompt(prompt_token_ids=list(request.prompt_token_ids))
        sampling = sampling_params(request, self._advised)
        async for output in self._llm.generate(prompt, sampling, request.request.request_id, priority=priority):
            completion, now = output.outputs[0], time.monotonic()
            tokens = tuple(completion.token_ids)
            yield TokensEmitted(0, tokens, completion.text, (now,) * len(tokens))


@asynccontextmanager
async def engine_of(contender: Contender, model: Path) -> AsyncIterator[Stock | VllmEngine]:
    """Run the engine of a contender until the end of the block."""
    if contender.policy != "niyama":
        arguments = AsyncEngineArgs(str(model), **_COMMON, scheduling_policy=contender.policy)  # type: ignore[arg-type]
        arguments.max_num_batched_tokens = contender.step or arguments.max_num_batched_tokens
        llm = await asyncio.to_thread(
            lambda: AsyncLLM.from_vllm_config(arguments.create_engine_config(), disable_log_stats=True)
        )
        try:
            yield Stock(llm)
        finally:
            await asyncio.to_thread(llm.shutdown)
        return
    settings = VllmSettings(model=str(model), arguments=engine_arguments())
    engine = VllmEngine(settings, MonotonicClock(), on_iteration=lambda record: None)
    await engine.start()
    running = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        running.cancel()
        await asyncio.wait([running])


def engine_arguments() -> tuple[str, ...]:
    """Return what all engines have in common, as vLLM's command line has it."""
    flags = ((f"--{name.replace('_', '-')}", value) for name, value in _COMMON.items())
    return tuple(flag if value is True else f"{flag}={value}" for flag, value in flags)


async def serve_all(engine: Stock | VllmEngine, traffic: Sequence[Asked], *, prefix: str = "r") -> list[Given]:
    """Send every request at its time; return what each was given."""
    began = time.monotonic()
    serving = [_serve(engine, asked, name=f"{prefix}{index}", began=began) for index, asked in enumerate(traffic)]
    return await asyncio.gather(*serving)


async def _serve(engine: Stock | VllmEngine, asked: Asked, *, name: str, began: float) -> Given:
    """Send a request at its time and read its answer."""
    await asyncio.sleep(began + asked.at - time.monotonic())
    request = asked.request(name, began=began)
    given = Given(asked, Delivery(asked.promise, request.request.arrival))
    async with aclosing(engine.generate(request)) as events:  # type: ignore[type-var]
        async for event in events:
            if isinstance(event, TokensEmitted):
                given.take(event.emitted_at)
    given.is_complete = given.delivery.num_tokens == asked.num_output_tokens
    return given


async def overload(contender: Contender, model: Path, *, traffic: Sequence[Asked]) -> Figures:
    """Return what a contender makes of the traffic."""
    async with engine_of(contender, model) as engine:
        await _warm_up(engine)
        given = await serve_all(engine, traffic)
        began = given[0].delivery.arrival
        return Figures.of(given, seconds=max(one.delivery.last_at or began for one in given) - began)


async def _warm_up(engine: Stock | VllmEngine) -> None:
    """Let everything run once that runs slower the first time."""
    asked = islice(draw_traffic(qps=1.0, seconds=float("inf"), seed=99), 8)
    began = time.monotonic()
    await asyncio.gather(
        *(_serve(engine, replace(one, at=0.0), name=f"warm{i}", began=began) for i, one in enumerate(asked))
    )


async def closed_loop(engine: Stock | VllmEngine, *, seconds: float) -> tuple[float, Figures]:
    """Keep a number of requests open; return the tokens a second of those that ended after a third of the time."""
    source = enumerate(draw_traffic(qps=1.0, seconds=float("inf"), seed=7))
    began = time.monotonic()
    given: list[Given] = []
    ended: list[tuple[float, int]] = []

    async def client() -> None:
        while (now := time.monotonic()) - began < seconds:
            index, asked = next(source)
            given.append(await _serve(engine, replace(asked, at=now - began), name=f"c{index}", began=began))
            ended.append((time.monotonic(), asked.num_tokens))

    await asyncio.gather(*(client() for _ in range(_OPEN)))
    start, stop = began + seconds / 3, began + seconds
    num_tokens = sum(number for at, number in ended if start <= at <= stop)
    return num_tokens / (stop - start), Figures.of(given, seconds=stop - began)


async def _best_step(model: Path) -> int:
    """Return the largest step of stock vLLM that keeps the time a token: larger steps carry more."""
    for step in _STEPS:
        async with engine_of(Contender("fcfs", step), model) as engine:
            await _warm_up(engine)
            rate, figures = await closed_loop(engine, seconds=_TRIAL_SECONDS)
        print(f"step of {step} tokens: {rate:.0f} tokens/s, gaps p99 {figures.gap_p99 * 1000:.0f} ms", flush=True)
        if figures.gap_p99 <= CHAT_TBT:
            return step
    return _STEPS[-1]


async def contest(
    model: Path, *, step: int | None, rounds: int, seconds: float, seed: int
) -> list[tuple[Contender, Figures]]:
    """Run all contenders in turn; return what each made of each round.

    Args:
        model: folder of the model.
        step: the most tokens of a step of the tuned ones; None looks for it.
        rounds: how often each runs.
        seconds: of arrivals.
        seed: of the traffic; each round adds its index.
    """
    step = step or await _best_step(model)
    async with engine_of(Contender("fcfs", step), model) as engine:
        await _warm_up(engine)
        rate, _ = await closed_loop(engine, seconds=_SATURATION_SECONDS)
    saturation = rate / mean_tokens(2000)
    print(f"saturation with a step of {step}: {saturation:.2f} requests/s; the contest runs at {_OVERLOAD} times that")
    contenders = (
        Contender("fcfs"),
        Contender("fcfs", step),
        Contender("priority"),
        Contender("priority", step),
        Contender("niyama"),
    )
    results = []
    for index in range(rounds):
        traffic = list(draw_traffic(qps=_OVERLOAD * saturation, seconds=seconds, seed=seed + index))
        for contender in contenders[index % 2 :] + contenders[: index % 2]:
            figures = await overload(contender, model, traffic=traffic)
            results.append((contender, figures))
            print(_row(contender.name, figures), flush=True)
    return results


def _row(name: str, figures: Figures) -> str:
    cells = [name, f"{figures.missed_important:.1%}", f"{figures.broken_important:.1%}", f"{figures.missed:.1%}"]
    cells += [f"{figures.late_tokens:.2%}"]
    cells += [f"{figures.gap_p99 * 1000:.0f}", f"{figures.ttft_p50:.2f} / {figures.ttft_p95:.2f}"]
    cells += [f"{figures.tokens_per_second:.0f}", f"{figures.num_incomplete} of {figures.num_requests}"]
    return "| " + " | ".join(cells) + " |"


def _summary(results: Iterable[tuple[Contender, Figures]]) -> list[str]:
    by_name: dict[str, list[Figures]] = {}
    for contender, figures in results:
        by_name.setdefault(contender.name, []).append(figures)
    return [
        _row(
            name,
            Figures(*(median(getattr(run, field) for run in runs) for field in Figures.__dataclass_fields__)),  # type: ignore[arg-type]
        )
        for name, runs in by_name.items()
    ]


def main() -> None:
    """Read the command line, run, print tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="folder of a model; examples/tiny_llama.py builds one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=42.0, help="of arrivals: at least twice the longest TTLT")
    parser.add_argument("--step", type=int, help="tokens of a step of the tuned stock; looked for when left out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="where to put all figures as JSON")
    options = parser.parse_args()
    print(f"| {' | '.join(_HEAD)} |\n|{'---|' * len(_HEAD)}")
    with tempfile.TemporaryDirectory() as profiles:
        # Each start measures the machine: nobody begins with what another run has learned.
        os.environ["NIYAMA_PROFILES"] = profiles
        running = contest(
            options.model, step=options.step, rounds=options.rounds, seconds=options.seconds, seed=options.seed
        )
        results = asyncio.run(running)
    print("\nMedians over the rounds:")
    print("\n".join(_summary(results)))
    if options.output:
        options.output.write_text(json.dumps([[one.name, asdict(figures)] for one, figures in results], indent=1))


if __name__ == "__main__":
    main()
