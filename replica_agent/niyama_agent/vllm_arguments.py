"""vLLM's own arguments, as its command line has them, made into the configuration of an engine that Niyama schedules.

Everything of vLLM's can be set but what Niyama decides: which scheduler plans, and that a decode is one token a step
(a plan cannot say how many speculative tokens will be taken). Asynchronous scheduling, in which a step
is planned while the one before runs, is on only where it is asked for.
"""

from collections.abc import Sequence
from typing import Never

from vllm.config import VllmConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMError
from vllm.platforms import current_platform
from vllm.utils.argparse_utils import FlexibleArgumentParser

from niyama_agent.engine import EngineStartError
from niyama_agent.profile_store import ProfileKey

__all__ = ["engine_config", "profile_key"]

SCHEDULER = "niyama_agent.vllm_scheduler.NiyamaScheduler"
_OURS = ("--model", "--scheduler-cls", "--scheduling-policy", "--speculative-config")
# The planner bounds each step by deadlines; what vLLM takes for its fixed budget would bound it again, and lower.
_MAX_NUM_BATCHED_TOKENS = 8192


class _Parser(FlexibleArgumentParser):  # type: ignore[misc]
    """Says what is wrong instead of ending the process."""

    def error(self, message: str) -> Never:
        """Refuse the arguments.

        Raises:
            EngineStartError: always.
        """
        raise EngineStartError(f"engine.arguments: {message}; `vllm serve --help=all` lists vLLM's own")


def profile_key(config: VllmConfig) -> ProfileKey:
    """Return what the times of an engine's iterations depend on."""
    return ProfileKey(
        model=config.model_config.model,
        device=current_platform.get_device_name(),
        num_devices=config.parallel_config.world_size,
        dtype=str(config.model_config.dtype).removeprefix("torch."),
    )


def engine_config(model: str, arguments: Sequence[str]) -> VllmConfig:
    """Return the configuration of an engine.

    Args:
        model: name or path of the model.
        arguments: vLLM's own.

    Raises:
        EngineStartError: an argument is wrong, or the model cannot be found or served so.
    """
    for argument in arguments:
        name = argument.partition("=")[0].replace("_", "-")
        if name in _OURS:
            raise EngineStartError(f"engine.arguments: {name} is Niyama's to decide: leave it out")
    parser = AsyncEngineArgs.add_cli_args(_Parser(add_help=False))
    parsed = parser.parse_args(["--model", model, *arguments])
    try:
        return _configured(AsyncEngineArgs.from_cli_args(parsed))
    except (OSError, RuntimeError, ValueError, VLLMError) as error:
        raise EngineStartError(f"engine.model {model!r}: {' '.join(str(error).split())[:600]}") from error


def _configured(arguments: AsyncEngineArgs) -> VllmConfig:
    """Return the configuration of an engine with what is Niyama's to decide."""
    if arguments.max_num_batched_tokens is None:
        arguments.max_num_batched_tokens = _MAX_NUM_BATCHED_TOKENS
    arguments.scheduler_cls = SCHEDULER
    arguments.async_scheduling = bool(arguments.async_scheduling)
    arguments.additional_config = dict(arguments.additional_config or {})
    return arguments.create_engine_config()
