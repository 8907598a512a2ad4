"""A program: the answers of one scheduler to a fixed mix of requests, as JSON on a line.

    python tests/vllm/answers.py MODEL stock|niyama NUMBER

Greedy, in fp32. The mix has short and long prompts, some that begin alike, answers of 1 to 60 tokens,
several answers to one prompt, stop strings, answers bound by a grammar, and promises of every kind; the KV cache is so
small that requests lose theirs on the way.
"""

import json
import random
import sys
import time
from typing import Any

from niyama_agent.scheduler_setup import tagged
from niyama_core.request import Request
from niyama_core.slo import Batch, Importance, Interactive, Promise
from vllm import LLM, SamplingParams
from vllm.sampling_params import StructuredOutputsParams

_PROMISES = (
    Promise("chat", Interactive(ttft=1.0, tbt=0.05)),
    Promise("summarise", Batch(ttlt=20.0)),
    Promise("nightly", Batch(ttlt=60.0), importance=Importance.LOW),
    Promise("hopeless", Interactive(ttft=0.001, tbt=0.001), importance=Importance.LOW),
)


def mixed(number: int) -> list[tuple[dict[str, Any], SamplingParams]]:
    """Return prompts and how they are to be answered."""
    rng = random.Random(3)
    beginning = [rng.randrange(3, 250) for _ in range(300)]
    asked = []
    for index in range(number):
        prompt = [rng.randrange(3, 250) for _ in range(rng.choice([5, 60, 400, 900]))]
        if index % 4 == 0:
            prompt = beginning + prompt[:100]
        request = Request(f"r{index}", _PROMISES[index % 4], time.monotonic(), len(prompt), 256)
        extra = dict(tagged(request, f"r{index}")) if index % 10 else None
        several = index % 13 == 5
        bound = index % 11 == 3 and not several
        choice = StructuredOutputsParams(regex="[0-9]{3}-[a-z]{4}") if bound else None
        params = SamplingParams(
            # vLLM refuses several greedy answers, and on a CPU a seed of one's own ends its worker.
            temperature=0.8 if several else 0.0,
            max_tokens=rng.choice([1, 8, 60]),
            ignore_eos=choice is None,
            n=2 if several else 1,
            stop=["e", "0"] if index % 7 == 2 and not several else None,
            structured_outputs=choice,
            extra_args=extra,
        )
        asked.append(({"prompt_token_ids": prompt}, params))
    return asked


def main() -> None:
    """Answer and print."""
    model, scheduler, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    ours = {"scheduler_cls": "niyama_agent.vllm_scheduler.NiyamaScheduler"} if scheduler == "niyama" else {}
    llm = LLM(
        model,
        dtype="float32",
        enforce_eager=True,
        max_model_len=1536,
        max_num_batched_tokens=384,
        num_gpu_blocks_override=40,
        gpu_memory_utilization=0.1,
        seed=0,
        **ours,
    )
    asked = mixed(number)
    outputs = llm.generate([prompt for prompt, _ in asked], [params for _, params in asked], use_tqdm=False)
    # Of drawn answers only the lengths can be compared.
    answers = [
        [[one.finish_reason, len(one.token_ids)] + ([] if params.n > 1 else [list(one.token_ids), one.text])]
        for output, (_, params) in zip(outputs, asked, strict=True)
        for one in output.outputs
    ]
    sys.stdout.write("\n" + json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
