"""Suggested classes as a manifest that `niyama validate` accepts, with the reasons beside them as comments."""

import re
import textwrap
from collections.abc import Iterator, Sequence

from niyama_core.cluster_spec import API_VERSION, KIND
from niyama_core.profiles import LatencyProfile
from niyama_core.slo import Batch, Interactive, Slo
from niyama_core.units import format_duration

from niyama_eval.suggestion import Suggestion

__all__ = ["class_manifest", "mix_option"]

_WIDTH = 110


def class_manifest(name: str, suggestions: Sequence[Suggestion], *, profile: LatencyProfile) -> str:
    """Return the manifest of a cluster with these classes, the first of which is the default."""
    head = (
        f"# Classes suggested by `niyama assess` for {' '.join(name.split())}, on replicas of {profile.name}.",
        "# Lengths and times do not tell whether anybody waits: change what you know better.",
        f"apiVersion: {API_VERSION}",
        f"kind: {KIND}",
        "metadata:",
        f"  name: {_cluster_name(name)}",
        "spec:",
        "  model:",
        f"    name: {profile.model}",
        "  engine:",
        f"    profile: {profile.name}",
        "  qosClasses:",
    )
    entries = (line for place, one in enumerate(suggestions) for line in _entry(one, is_default=place == 0))
    return "\n".join([*head, *entries]) + "\n"


def mix_option(suggestions: Sequence[Suggestion]) -> str:
    """Return the shares of the classes as `--mix` takes them."""
    return ":".join(f"{100 * one.share:.3g}" for one in suggestions)


def _entry(suggestion: Suggestion, *, is_default: bool) -> Iterator[str]:
    qos_class = suggestion.qos_class
    for reason in suggestion.reasons:
        yield from textwrap.wrap(reason, _WIDTH, initial_indent="    # ", subsequent_indent="    #   ")
    yield f"    - name: {qos_class.name}"
    yield f"      {_slo(qos_class.slo)}"
    if is_default:
        yield "      default: true"


def _slo(slo: Slo) -> str:
    match slo:
        case Interactive(ttft=ttft, tbt=tbt):
            return f"interactive: {{ttft: {format_duration(ttft)}, tbt: {format_duration(tbt)}}}"
        case Batch(ttlt=ttlt):
            return f"batch: {{ttlt: {format_duration(ttlt)}}}"


def _cluster_name(name: str) -> str:
    """Return the name with nothing in it that a cluster's name cannot have."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-")
    return plain or "traffic"
