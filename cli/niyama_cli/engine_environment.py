"""What vLLM reads from its environment, for replicas that share a machine without a GPU."""

import os
import shutil
from collections.abc import Mapping

from niyama_core.cluster_spec import ClusterSpec, EngineType

__all__ = ["engine_environment"]


def engine_environment(spec: ClusterSpec, *, index: int) -> Mapping[str, str]:
    """Return the environment of replica number `index`; empty but for vLLM on a machine without a GPU.

    Left to itself, every vLLM would sit on the first core, and take most of the memory.
    """
    if spec.engine.type is not EngineType.VLLM or shutil.which("nvidia-smi") is not None:
        return {}
    cores = sorted(os.sched_getaffinity(0))
    share = max(1, len(cores) // max(1, spec.replicas))
    mine = [cores[(index * share + offset) % len(cores)] for offset in range(share)]
    return {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, mine))}
