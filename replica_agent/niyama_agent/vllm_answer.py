"""One answer of vLLM: what is asked of it, and what it becomes in the agent's events."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams

from niyama_agent.engine import (
    Aborted,
    AbortReason,
    EngineRequest,
    Finished,
    FinishReason,
    HandBackReason,
    HandedBack,
    LastEvent,
)
from niyama_agent.scheduler_setup import HANDED_BACK, tagged
from niyama_agent.token_stream import TokenStream

__all__ = ["VllmAnswer", "sampling_params"]

_CHOICES = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty")


@dataclass(slots=True, eq=False)
class VllmAnswer:
    """An answer that is being read.

    Attributes:
        stream: where it goes.
        num_before: tokens of it that were emitted elsewhere.
        length: of the whole answer, in a replay.
        num_emitted: tokens emitted here.
        reading: the task that reads it.
    """

    stream: TokenStream
    num_before: int
    length: int | None
    num_emitted: int = 0
    reading: "asyncio.Task[None] | None" = None

    def put(self, output: RequestOutput, *, now: float) -> None:
        """Put what vLLM says of the answer into its stream."""
        completion = output.outputs[0]
        self.num_emitted += len(completion.token_ids)
        self.stream.put(completion.token_ids, completion.text, emitted_at=now)
        if output.finished:
            self.stream.end(self._last_event(output))

    def _last_event(self, output: RequestOutput) -> LastEvent:
        completion = output.outputs[0]
        if completion.stop_reason == HANDED_BACK:
            return HandedBack(HandBackReason.DRAINING)
        if completion.finish_reason == "abort":
            return Aborted(AbortReason.ASKED)
        num_tokens = self.num_before + self.num_emitted
        was_cut = completion.finish_reason == "length" and num_tokens != self.length
        reason = FinishReason.LENGTH if was_cut else FinishReason.STOP
        return Finished(reason, num_tokens, num_cached_tokens=output.num_cached_tokens or 0)


def sampling_params(request: EngineRequest, advised: Mapping[str, Any]) -> SamplingParams:
    """Return how tokens are chosen, in vLLM's form.

    Args:
        request: what was asked for.
        advised: by the model's makers, for what a request leaves open.

    Raises:
        ValueError: vLLM does not know such a thing.
    """
    asked, length = request.sampling, request.replay_output_tokens
    chosen = {name: value for name in _CHOICES if (value := getattr(asked, name)) is not None}
    left = request.request.max_output_tokens
    return SamplingParams(
        **{**advised, **chosen},
        stop=list(asked.stop) or None,
        # The planner is told the cap, in the tag, and never this length.
        max_tokens=left if length is None else min(left, length - len(request.emitted_token_ids)),
        ignore_eos=length is not None,
        output_kind=RequestOutputKind.DELTA,
        extra_args=dict(tagged(request.request, request.request.request_id)),
    )
