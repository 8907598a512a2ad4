"""Contenders as text: a policy, and what else is different about its cluster.

    niyama
    qoserve alpha=0.004
    niyama placement=least-loaded routers=4
    sarathi-fcfs silo=7,3,3

Words are settings of the cluster (`sim_settings.SETTINGS`) or of the scheduler, as a manifest's `scheduler` section
names them, and are checked as those are.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from niyama_core.manifest_reader import ManifestReader
from niyama_core.policies import POLICIES, SchedulerSettings
from niyama_core.qos_section import read_scheduler
from niyama_sim.settings import SimulationSettings

from niyama_cli.errors import CommandError
from niyama_cli.sim_settings import SETTINGS, changed

__all__ = ["read_contenders"]


def read_contenders(texts: Iterable[str], cluster: SimulationSettings) -> dict[str, SimulationSettings]:
    """Return the clusters that the texts name, each a change of the one that is given.

    Raises:
        CommandError: a text names none; the message says which, and what it could be.
    """
    return {" ".join(text.split()): _read(text, cluster) for text in texts}


def _read(text: str, cluster: SimulationSettings) -> SimulationSettings:
    policy, *words = text.split() or [""]
    if policy not in POLICIES:
        raise _refusal(text, f"{policy!r} is unknown: begin with one of {', '.join(POLICIES)}")
    settings = dict(map(_pair, words))
    of_cluster = {name: settings.pop(name) for name in SETTINGS if name in settings}
    if settings and "silo" in of_cluster:
        raise _refusal(text, f"silos have budgets of their own: leave {', '.join(settings)} out")
    scheduler = _scheduler(text, {"policy": policy, **{key: _value(word) for key, word in settings.items()}})
    contender = changed(replace(cluster, scheduler=scheduler), of_cluster)
    return contender.with_policy(policy)


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not (name and equals and value):
        raise CommandError(f"--policy: {word!r} is no setting: write name=value", exit_code=2)
    return name, value


def _value(text: str) -> Any:  # noqa: ANN401, a cell of a manifest, which the reader checks
    try:
        return json.loads(text)
    except ValueError:
        return text


def _scheduler(text: str, section: Mapping[str, Any]) -> SchedulerSettings:
    unknown = [key for key in section if key != "policy" and key not in _scheduler_keys()]
    if unknown:
        known = ", ".join([*SETTINGS, *_scheduler_keys()])
        raise _refusal(text, f"{unknown[0]!r} is no setting: choose one of {known}")
    reader = ManifestReader(section)
    scheduler = read_scheduler(reader)
    if reader.problems:
        raise _refusal(text, "; ".join(map(str, reader.problems)))
    return scheduler


def _scheduler_keys() -> tuple[str, ...]:
    return (
        "alpha",
        "safety",
        "tokenBudget",
        "maxNumSeqs",
        "maxTokenBudget",
        "calibrated",
        "marginQuantile",
        "fairness",
    )


def _refusal(text: str, problem: str) -> CommandError:
    return CommandError(f"--policy {text!r}: {problem}", exit_code=2)
