"""What the planner and an engine tell each other, once an iteration: a decision, and what came of it."""

from niyama_core.hot_value import hot_value
from niyama_core.latency import IterationShape

__all__ = ["Chunk", "ExecutedIteration", "IterationPlan", "IterationTime", "time_of"]


@hot_value
class Chunk:
    """The part of a prompt that one iteration computes."""

    request_id: str
    num_tokens: int


@hot_value
class IterationPlan:
    """One iteration, decided.

    Attributes:
        decodes: requests that decode one token each.
        chunks: prefill work, in the order it was chosen.
        relegated: requests that this plan put behind all that can be on time.
        preempted: requests that lose their KV cache and start their prefill again.
        shape: the sums that the iteration's time depends on.
        slack: seconds until the most urgent token is due; infinite when none constrains.
        token_budget: the most tokens that the iteration was allowed, decodes included.
        predicted_seconds: expected time of the iteration; 0 when it is empty.
    """

    decodes: tuple[str, ...]
    chunks: tuple[Chunk, ...]
    relegated: tuple[str, ...]
    preempted: tuple[str, ...]
    shape: IterationShape
    slack: float
    token_budget: int
    predicted_seconds: float

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to run."""
        return not self.decodes and not self.chunks

    def was_run_by(self, executed: "ExecutedIteration") -> bool:
        """Whether what was run is what is planned, and nothing else."""
        return executed.chunks == self.chunks and executed.decodes == self.decodes

    def executed(self, seconds: float) -> "ExecutedIteration":
        """Return the report of an engine that ran this plan to the letter in `seconds`."""
        budget_spent = self.shape.prefill_tokens + self.shape.num_decodes >= self.token_budget
        return ExecutedIteration(self.decodes, self.chunks, seconds, budget_spent)


@hot_value
class ExecutedIteration:
    """One iteration, done.

    Attributes:
        decodes: requests that decoded a token; may be fewer than were planned.
        chunks: prefill work that was computed; may be less than was planned.
        seconds: how long it took; 0 where that is not known yet, and told later as an `IterationTime`.
        budget_spent: whether it held as many tokens as it was allowed.
    """

    decodes: tuple[str, ...]
    chunks: tuple[Chunk, ...]
    seconds: float
    budget_spent: bool


@hot_value
class IterationTime:
    """How long an iteration took, of an engine that plans the next one before it knows.

    Attributes:
        shape: of what was planned.
        prefill_tokens: that were computed.
        seconds: how long it took.
        budget_spent: whether it held as many tokens as it was allowed.
        as_planned: whether what was planned was run, and nothing else.
    """

    shape: IterationShape
    prefill_tokens: int
    seconds: float
    budget_spent: bool
    as_planned: bool


def time_of(plan: IterationPlan, executed: ExecutedIteration) -> IterationTime:
    """Return what an iteration that was run of a plan says of the machine's speed."""
    return IterationTime(
        plan.shape,
        sum([chunk.num_tokens for chunk in executed.chunks]),
        executed.seconds,
        executed.budget_spent,
        plan.was_run_by(executed),
    )
