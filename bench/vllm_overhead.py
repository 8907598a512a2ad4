"""What the planner adds to an iteration of vLLM's scheduler: microseconds beside stock, with many requests running.

Both schedulers run in this process without a model: a step is `schedule()`, and `update_from_output()` with a made-up
token for each request. They take turns, a hundred steps at a time, so that whatever else the machine does is shared.
Reports go to a real socket that is read; they are sent while the model computes, so their time stands apart.

    make install-vllm && .venv-vllm/bin/python bench/vllm_overhead.py
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

import torch
import zmq
from niyama_agent.scheduler_setup import setup_document, tagged
from niyama_agent.vllm_scheduler import NiyamaScheduler
from niyama_core.policies import SchedulerSettings
from niyama_core.profiles import PROFILES
from niyama_core.request import Request as Promised
from niyama_core.slo import Batch, Interactive, Promise
from vllm.engine.arg_utils import EngineArgs
from vllm.sampling_params import SamplingParams
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager

_RUNNING = (8, 64, 256)
_STEPS_A_TURN = 100
_PROMPT_TOKENS = 200
_PROMISES = (Promise("chat", Interactive(ttft=6.0, tbt=0.05)), Promise("summarise", Batch(ttlt=600.0)))


@dataclass(slots=True)
class Contender:
    """A scheduler with requests that decode, and the seconds that its steps took.

    Attributes:
        scheduler: vLLM's, or ours.
        inside: of `schedule` and `update_from_output`.
        beside: of what is done while the model computes.
    """

    scheduler: Any
    inside: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    def step(self) -> None:
        """Run one step."""
        began = time.perf_counter()
        output = self.scheduler.schedule()
        scheduled = time.perf_counter()
        self.scheduler.get_grammar_bitmask(output)
        handed_over = time.perf_counter()
        result = _made_up(output.num_scheduled_tokens, self.scheduler)
        computed = time.perf_counter()
        self.scheduler.update_from_output(output, result)
        ended = time.perf_counter()
        self.inside.append(scheduled - began + ended - computed)
        self.beside.append(handed_over - scheduled)


def _made_up(scheduled: dict[str, int], scheduler: Any) -> ModelRunnerOutput:  # noqa: ANN401, stock or ours
    """Return one token of those whose prompt is complete."""
    requests = scheduler.requests
    tokens = [[7] if requests[name].num_computed_tokens >= requests[name].num_tokens else [] for name in scheduled]
    return ModelRunnerOutput(
        req_ids=list(scheduled),
        req_id_to_index={name: index for index, name in enumerate(scheduled)},
        sampled_token_ids=tokens,
        logprobs=None,
        prompt_logprobs_dict={},
        pooler_output=[],
    )


def _contender(cls: type, model: Path, *, additional: dict[str, object]) -> Contender:
    arguments = EngineArgs(
        model=str(model), enforce_eager=True, max_num_seqs=512, max_num_batched_tokens=8192, enable_prefix_caching=False
    )
    config = arguments.create_engine_config()
    config.additional_config = additional
    config.cache_config.num_gpu_blocks = 100_000
    block_size = config.cache_config.block_size
    spec = FullAttentionSpec(block_size=block_size, num_kv_heads=2, head_size=64, dtype=torch.float32)
    cache = KVCacheConfig(num_blocks=100_000, kv_cache_tensors=[], kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)])
    manager = StructuredOutputManager(config)
    return Contender(
        cls(config, kv_cache_config=cache, structured_output_manager=manager, block_size=block_size, log_stats=False)
    )


def _fill(contender: Contender, number: int) -> None:
    """Let so many requests decode."""
    now = time.monotonic()
    for index in range(number):
        name = f"request-{index}"
        promised = Promised(name, _PROMISES[index % 2], now, _PROMPT_TOKENS, 4000)
        sampling = SamplingParams(max_tokens=3500, ignore_eos=True, extra_args=dict(tagged(promised, name)))
        prompt = [2 + (index + position) % 250 for position in range(_PROMPT_TOKENS)]
        contender.scheduler.add_request(Request(name, prompt, sampling, None))
    while any(request.num_output_tokens == 0 for request in contender.scheduler.requests.values()):
        contender.step()


@contextmanager
def _listener() -> Iterator[tuple[str, str]]:
    """Yield the addresses of a channel, whose reports are read and thrown away."""
    folder = Path(tempfile.mkdtemp(prefix="niyama-"))
    context = zmq.Context()
    reports, orders = f"ipc://{folder}/reports", f"ipc://{folder}/orders"
    incoming, outgoing = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    incoming.bind(reports)
    outgoing.bind(orders)
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            if incoming.poll(100):
                incoming.recv()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield reports, orders
    finally:
        ended.set()
        reader.join()
        context.destroy(linger=0)


def _row(number: int, stock: Contender, ours: Contender) -> str:
    added = median(ours.inside) - median(stock.inside)
    cells = [number, *_micros(stock.inside), *_micros(ours.inside), f"{added * 1e6:+.0f}"]
    cells += [f"{added / median(stock.inside):+.1%}", f"{median(ours.beside) * 1e6:.0f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def _micros(seconds: Sequence[float]) -> tuple[str, str]:
    return f"{median(seconds) * 1e6:.0f}", f"{quantiles(seconds, n=20)[-1] * 1e6:.0f}"


def main() -> None:
    """Read the command line and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="folder of a model; examples/tiny_llama.py builds one")
    parser.add_argument("--steps", type=int, default=1500, help="of each scheduler")
    options = parser.parse_args()
    print("| running | stock p50 | p95 | niyama p50 | p95 | added | of stock | beside the model |")
    print("|---|---|---|---|---|---|---|---|")
    profile = PROFILES["a100-llama3-8b"]
    for number in _RUNNING:
        with _listener() as (reports, orders):
            additional = setup_document(SchedulerSettings(), profile, reports=reports, orders=orders)
            stock = _contender(AsyncScheduler, options.model, additional={})
            ours = _contender(NiyamaScheduler, options.model, additional=additional)
            for contender in (stock, ours):
                _fill(contender, number)
                contender.inside.clear()
                contender.beside.clear()
            for _ in range(options.steps // _STEPS_A_TURN):
                for contender in (stock, ours):
                    for _ in range(_STEPS_A_TURN):
                        contender.step()
        print(_row(number, stock, ours))


if __name__ == "__main__":
    main()
