"""Everything inside vLLM that Niyama builds on, by name and place: what to look at when a vLLM release moves something.

vLLM calls none of this an interface. The scheduler compares the list with the vLLM that is installed before it takes
over, so a release that moves a name is told in one sentence, and not by an answer that hangs.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import vllm
from vllm.v1.core.kv_cache_manager import KVCacheManager
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs
from vllm.v1.request import Request, RequestStatus

__all__ = ["INTERNALS", "Internal", "VllmMovedError", "check_internals", "missing_internals"]

TESTED = "0.32"
"""The vLLM that this list was made of."""


class VllmMovedError(RuntimeError):
    """This vLLM lacks something that Niyama builds on."""


@dataclass(frozen=True, slots=True)
class Internal:
    """Something inside vLLM.

    Attributes:
        owner: the class that has it.
        name: of a method, attribute or field.
        use: what it is for here.
        parameters: names that a method must take.
        assigned: whether instances get it in `__init__`, so that the class itself does not have it.
    """

    owner: type
    name: str
    use: str
    parameters: tuple[str, ...] = ()
    assigned: bool = False

    @property
    def is_there(self) -> bool:
        """Whether this vLLM has it."""
        if self.assigned:
            return f"self.{self.name}" in "".join(map(_source_of_init, self.owner.__mro__[:-1]))
        if self.name in getattr(self.owner, "__annotations__", {}):
            return True
        found = getattr(self.owner, self.name, None)
        if found is None:
            return False
        return not self.parameters or set(self.parameters) <= set(inspect.signature(found).parameters)

    def __str__(self) -> str:
        """Return its place."""
        return f"{self.owner.__module__}.{self.owner.__qualname__}.{self.name}"


INTERNALS: Sequence[Internal] = (
    Internal(Scheduler, "schedule", "a step is planned around it", ("throttle_prefills",)),
    Internal(Scheduler, "update_from_output", "a step is recorded behind it", ("scheduler_output",)),
    Internal(Scheduler, "get_grammar_bitmask", "comes while the model computes: reports are sent then"),
    Internal(Scheduler, "add_request", "admits to the planner", ("request",)),
    Internal(Scheduler, "finish_requests", "hands requests back", ("request_ids", "finished_status")),
    Internal(Scheduler, "_free_request", "tells the planner what ended", ("request", "delay_free_blocks")),
    Internal(Scheduler, "_preempt_request", "takes KV by plan", ("request", "timestamp", "drop_stale_output")),
    Internal(
        Scheduler,
        "_reserve_prefill_lookahead",
        "bounds the chunk of one prefill; called for running and for waiting requests",
        ("request", "num_computed_tokens", "num_new_tokens"),
    ),
    Internal(Scheduler, "max_num_scheduled_tokens", "the budget of a step", assigned=True),
    Internal(Scheduler, "num_prefill_lookahead", "whether vLLM itself bounds chunks", assigned=True),
    Internal(Scheduler, "max_num_active_reqs", "leaves room for those held", assigned=True),
    Internal(Scheduler, "running", "order of service, and of victims", assigned=True),
    Internal(Scheduler, "waiting", "replaced by our own queue", assigned=True),
    Internal(Scheduler, "requests", "finds a request by its id", assigned=True),
    Internal(Scheduler, "block_size", "tokens of a block of KV", assigned=True),
    Internal(Scheduler, "kv_cache_manager", "knows free blocks and cached prefixes", assigned=True),
    Internal(AsyncScheduler, "_update_after_schedule", "counts computed tokens before `schedule` returns"),
    Internal(KVCacheManager, "get_computed_blocks", "finds cached prefixes", ("request",)),
    Internal(KVCacheManager, "block_pool", "counts free blocks", assigned=True),
    Internal(SchedulerOutput, "num_scheduled_tokens", "what a step runs"),
    Internal(Request, "num_computed_tokens", "how far a request has come", assigned=True),
    Internal(Request, "num_prompt_tokens", "tokens of the prompt", assigned=True),
    Internal(Request, "num_tokens", "tokens of prompt and answer"),
    Internal(Request, "max_tokens", "the cap on an answer", assigned=True),
    Internal(Request, "sampling_params", "its extra_args carry the promise", assigned=True),
    Internal(Request, "pooling_params", "pooling is not planned", assigned=True),
    Internal(Request, "resumable", "nor are sessions", assigned=True),
    Internal(Request, "client_index", "who reads the answer", assigned=True),
    Internal(Request, "status", "how an answer ended", assigned=True),
    Internal(RequestStatus, "FINISHED_ABORTED", "ends a request that is handed back"),
    Internal(RequestStatus, "FINISHED_STOPPED", "a whole answer"),
    Internal(RequestStatus, "FINISHED_LENGTH_CAPPED", "a whole answer"),
    Internal(EngineCoreOutput, "stop_reason", "says that a request is handed back"),
    Internal(EngineCoreOutputs, "outputs", "takes that word to the reader"),
)


def missing_internals() -> Iterator[Internal]:
    """Yield what this vLLM does not have."""
    return (internal for internal in INTERNALS if not internal.is_there)


def check_internals() -> None:
    """Refuse a vLLM that lacks something.

    Raises:
        VllmMovedError: it does; the message names everything.
    """
    if missing := list(missing_internals()):
        places = "; ".join(f"{internal} ({internal.use})" for internal in missing)
        raise VllmMovedError(f"Niyama is made for vLLM {TESTED}, and vLLM {vllm.__version__} does not have: {places}")


def _source_of_init(owner: type) -> str:
    return inspect.getsource(vars(owner)["__init__"]) if "__init__" in vars(owner) else ""
