"""Long prompts apart from short ones: a mean over both hides who pays, since long prompts are few and cost most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from niyama_eval.assessment import LONG_PROMPT_TOKENS
from niyama_eval.outcomes import RequestOutcome
from niyama_eval.results import on_time_fraction

__all__ = ["PromptSide", "by_prompt", "is_long"]


@dataclass(frozen=True, slots=True)
class PromptSide:
    """The long prompts of a run, or the short ones.

    Attributes:
        num_requests: how many.
        violations: share of them that did not keep the promise, by the published rule; None of none.
    """

    num_requests: int
    violations: float | None

    @classmethod
    def of(cls, outcomes: Sequence[RequestOutcome]) -> "PromptSide":
        """Return what came of some requests."""
        on_time = on_time_fraction(outcomes)
        return cls(len(outcomes), None if on_time is None else 1.0 - on_time)


def is_long(outcome: RequestOutcome) -> bool:
    """Tell whether a prompt is long, as the published evaluation has it: over 6,200 tokens."""
    return outcome.num_prompt_tokens > LONG_PROMPT_TOKENS


def by_prompt(outcomes: Sequence[RequestOutcome]) -> Mapping[str, PromptSide]:
    """Return the `long` prompts of a run and the `short` ones."""
    sides: dict[str, list[RequestOutcome]] = {"long": [], "short": []}
    for outcome in outcomes:
        sides["long" if is_long(outcome) else "short"].append(outcome)
    return {name: PromptSide.of(mine) for name, mine in sides.items()}
