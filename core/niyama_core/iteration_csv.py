"""Iteration records as CSV: one row an iteration, what `niyama profile fit` makes latency profiles from.

The columns are the sums that an iteration's time depends on (`latency.IterationShape`), the number of chunks, the token
budget and the seconds that it took. Agents write such rows of real iterations, the simulator of its own.
"""

from niyama_core.plan import IterationPlan

__all__ = ["COLUMNS", "iteration_row"]

COLUMNS = (
    "prefill_tokens",
    "num_decodes",
    "decode_context_tokens",
    "prefill_context_tokens",
    "prefill_attention",
    "num_chunks",
    "token_budget",
    "seconds",
)


def iteration_row(plan: IterationPlan, seconds: float) -> str:
    """Return the row of an iteration, without its end; floats keep every bit."""
    shape = plan.shape
    values = (
        shape.prefill_tokens,
        shape.num_decodes,
        shape.decode_context_tokens,
        shape.prefill_context_tokens,
        shape.prefill_attention,
        len(plan.chunks),
        plan.token_budget,
        seconds,
    )
    return ",".join(map(repr, values))
