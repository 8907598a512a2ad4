"""Says which promises no replica of a profile could keep, before anything is simulated in vain."""

from collections.abc import Sequence

from niyama_core.profiles import LatencyProfile
from niyama_eval.feasibility import doubts
from niyama_eval.workloads import WorkloadRequest
from rich.console import Console

from niyama_cli.errors import CommandError

__all__ = ["refuse_impossible", "warn_of_impossible"]


def warn_of_impossible(
    requests: Sequence[WorkloadRequest], profile: LatencyProfile, *, speed: float = 1.0, console: Console
) -> None:
    """Print a line for each promise that an idle replica could not keep either."""
    for doubt in doubts(requests, profile.at_speed(speed).law):
        console.print(f"note: {doubt}", highlight=False, markup=False, soft_wrap=True)


def refuse_impossible(
    requests: Sequence[WorkloadRequest], profile: LatencyProfile, *, tolerated: float, console: Console
) -> None:
    """Refuse what no number of replicas can keep; a gap between tokens, which may be late, is told and no more.

    Raises:
        CommandError: more than the tolerated share of a class must miss its promise.
    """
    found = doubts(requests, profile.law, tolerated=tolerated)
    hopeless = [doubt for doubt in found if doubt.counts_as_violation]
    if hopeless:
        raise CommandError("\n".join(map(str, hopeless)), exit_code=2)
    for doubt in found:
        console.print(f"note: {doubt}", highlight=False, markup=False, soft_wrap=True)
