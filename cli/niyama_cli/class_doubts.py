"""Says which promises no replica of a profile could keep, before anything is simulated in vain."""

from collections.abc import Sequence

from niyama_core.profiles import LatencyProfile
from niyama_eval.feasibility import cut_share, doubts
from niyama_eval.workloads import WorkloadRequest
from rich.console import Console

from niyama_cli.errors import CommandError

__all__ = ["refuse_impossible", "warn_of_impossible"]


def warn_of_impossible(
    requests: Sequence[WorkloadRequest], profile: LatencyProfile, *, speed: float = 1.0, console: Console
) -> None:
    """Print a line for each promise that an idle replica could not keep either, and one if requests were cut."""
    _note_cut(requests, profile, console=console)
    for doubt in doubts(requests, profile.at_speed(speed).law):
        _note(str(doubt), console=console)


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
    _note_cut(requests, profile, console=console)
    for doubt in found:
        _note(str(doubt), console=console)


def _note_cut(requests: Sequence[WorkloadRequest], profile: LatencyProfile, *, console: Console) -> None:
    share = cut_share(requests, profile.context_tokens)
    if share:
        context = f"{profile.context_tokens:,} tokens of {profile.name}'s context"
        _note(f"{100 * share:.2g} % of the requests do not fit into the {context}: cut to it", console=console)


def _note(text: str, *, console: Console) -> None:
    console.print(f"note: {text}", highlight=False, markup=False, soft_wrap=True)
