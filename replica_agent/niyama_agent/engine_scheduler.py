"""What `PlannedScheduling` expects of the engine's own scheduler, which it is mixed into: for type checkers alone.

`vllm_internals` names the same things with their places in vLLM, and is compared with the installed vLLM at start.
"""

from typing import Any, Protocol

__all__ = ["EngineRecord", "EngineScheduler", "EngineStep"]


class EngineRecord(Protocol):
    """What is read of an engine's own record of a request."""

    request_id: str
    num_computed_tokens: int
    num_prompt_tokens: int
    max_tokens: int
    sampling_params: Any
    pooling_params: Any
    resumable: bool
    status: Any

    @property
    def num_tokens(self) -> int:
        """Tokens of the prompt and of the answer so far."""
        ...


class EngineStep(Protocol):
    """What is read of an engine's own account of a step: how many tokens it runs of whom."""

    num_scheduled_tokens: dict[str, int]


class EngineScheduler:
    """The scheduler as its vLLM has it; never instantiated."""

    running: list[Any]
    waiting: Any
    requests: dict[str, Any]
    max_num_scheduled_tokens: int
    max_num_active_reqs: int
    num_prefill_lookahead: int

    def add_request(self, request: Any) -> None:  # noqa: ANN401
        """Take a request in."""

    def schedule(self, throttle_prefills: bool = False) -> Any:  # noqa: ANN401
        """Return what runs in the next step."""

    def get_grammar_bitmask(self, output: Any) -> Any:  # noqa: ANN401
        """Return which tokens grammars allow; called when the step has been handed to the model."""

    def update_from_output(self, output: Any, model_output: Any) -> dict[int, Any]:  # noqa: ANN401
        """Take in what the model computed, and return what readers are told."""
        return {}

    def finish_requests(self, request_ids: Any, finished_status: Any) -> Any:  # noqa: ANN401
        """Let go of requests from outside."""

    def _reserve_prefill_lookahead(self, request: Any, *tokens: int) -> int:  # noqa: ANN401
        """Return how many of the new tokens, the last, may run; the tokens before are computed already."""
        return tokens[-1]

    def _preempt_request(self, request: Any, timestamp: float, **how: bool) -> None:  # noqa: ANN401
        """Take the KV of a request that has left `running`, and let it wait."""

    def _free_request(self, request: Any, delay_free_blocks: bool = False) -> Any:  # noqa: ANN401
        """Let go of a request whose answer has ended, however it did."""
