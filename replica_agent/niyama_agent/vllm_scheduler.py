"""Niyama's planner as vLLM's scheduler: give vLLM `scheduler_cls="niyama_agent.vllm_scheduler.NiyamaScheduler"`.

Runs in vLLM's engine-core process. All decisions are `planned_scheduling`'s; here is what only vLLM's own objects can
say, and nothing else.
"""

from typing import Any

from niyama_runtime.clock import MonotonicClock
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, FinishReason

from niyama_agent.engine_scheduler import EngineRecord
from niyama_agent.planned_scheduling import PlannedScheduling
from niyama_agent.scheduler_channel import open_channel
from niyama_agent.scheduler_setup import HANDED_BACK, read_setup
from niyama_agent.vllm_internals import check_internals

__all__ = ["NiyamaScheduler"]


class NiyamaScheduler(PlannedScheduling, AsyncScheduler):  # type: ignore[misc]
    """vLLM's scheduler, whose steps Niyama's planner plans; made by vLLM."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:  # noqa: ANN401, vLLM's own
        """Begin as vLLM's scheduler does.

        Raises:
            VllmMovedError: this vLLM lacks something that is built on.
            JsonRecordError: the settings of the scheduler are no such settings.
        """
        check_internals()
        super().__init__(*arguments, **settings)
        setup = read_setup(self.vllm_config.additional_config)
        self.begin_planning(setup, open_channel(setup), clock=MonotonicClock())

    def kv_free_tokens(self) -> int:
        """Return how many tokens the KV cache can still hold, so that every decode of a step finds its room.

        The cache gives blocks and the planner counts tokens. Where blocks are rare, those are set aside that decodes
        are about to begin, as one token each in the planner's account.
        """
        block_size, running = self.block_size, self.running
        free = self.kv_cache_manager.block_pool.get_num_free_blocks()
        if free * block_size > self._most_tokens + len(running) * block_size:
            return int(free * block_size)
        at_an_end = [request for request in running if request.num_computed_tokens % block_size == 0]
        return int(max(0, (free - len(at_an_end)) * block_size + len(at_an_end)))

    def kv_used_tokens(self) -> int:
        """Return how many tokens of KV are held, in whole blocks."""
        pool = self.kv_cache_manager.block_pool
        return int((pool.num_gpu_blocks - 1 - pool.get_num_free_blocks()) * self.block_size)

    def num_cached_tokens(self, request: EngineRecord) -> int:
        """Return how many first tokens of a waiting request the KV cache holds."""
        if not self.cache_config.enable_prefix_caching:
            return 0
        _, num_tokens, _ = self.kv_cache_manager.get_computed_blocks(request)
        return int(num_tokens)

    def tell_handed_back(self, request: Any, outputs: dict[int, Any]) -> None:  # noqa: ANN401
        """End a request for its reader, with a word by which the agent knows why."""
        output = EngineCoreOutput(request.request_id, [], finish_reason=FinishReason.ABORT, stop_reason=HANDED_BACK)
        outputs.setdefault(request.client_index, EngineCoreOutputs()).outputs.append(output)
