"""Which engine an agent runs: the one place that knows them all."""

import os
from collections.abc import Callable

from niyama_core.journal import IterationRecord
from niyama_runtime.clock import Clock
from niyama_runtime.profile_file import find_profile

from niyama_agent.engine import Engine, EngineStartError
from niyama_agent.paced_engine import PacedEngine, PacedSettings
from niyama_agent.settings import AgentSettings, EngineType

__all__ = ["build_engine"]


def build_engine(settings: AgentSettings, clock: Clock, *, on_iteration: Callable[[IterationRecord], None]) -> Engine:
    """Return the engine that is asked for; it loads nothing before it is started.

    Args:
        settings: of the agent.
        clock: by which it measures, and waits if it computes nothing.
        on_iteration: takes the record of each iteration.

    Raises:
        EngineStartError: it is not installed.
    """
    engine = settings.engine
    match engine.type:
        case EngineType.PACED:
            paced = PacedSettings(
                profile=find_profile(engine.profile),
                speed=engine.speed,
                noise=engine.noise,
                seed=engine.seed,
                replay=engine.replay,
                scheduler=settings.scheduler,
            )
            return PacedEngine(paced, clock, on_iteration=on_iteration)
        case EngineType.VLLM:
            return _build_vllm(settings, clock, on_iteration=on_iteration)


def _build_vllm(settings: AgentSettings, clock: Clock, *, on_iteration: Callable[[IterationRecord], None]) -> Engine:
    # Standard output belongs to the line that says where the agent serves; vLLM reads this when it is imported.
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    try:
        # Seconds of imports, and not there in most environments.
        from niyama_agent.vllm_engine import VllmEngine, VllmSettings
    except ImportError as error:
        fix = "install niyama[vllm], or on a machine without a GPU what docs/vllm.md says, or use --engine paced"
        raise EngineStartError(f"engine.type vllm: vLLM is not installed ({error}): {fix}") from error
    vllm = VllmSettings(
        model=settings.engine.model or settings.model,
        arguments=settings.engine.arguments,
        profile=settings.engine.profile,
        replay=settings.engine.replay,
        scheduler=settings.scheduler,
    )
    return VllmEngine(vllm, clock, on_iteration=on_iteration)
