"""Settings of a simulated cluster as text, alike for the options of a run and for what comparisons and sweeps vary.

Each setting is a small function from a cluster and a text to the cluster so changed. A new one is one line in
`SETTINGS`, and an option of `niyama sim run` if it deserves one.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from niyama_core.placement import PLACEMENTS
from niyama_core.units import parse_duration
from niyama_runtime.profile_file import ProfileError, find_profile
from niyama_sim.faults import parse_faults
from niyama_sim.settings import RateLimit, SettingsError, SimulationSettings, silo_pools

from niyama_cli.errors import CommandError

__all__ = ["MAX_REPLICAS", "SETTINGS", "changed"]

MAX_REPLICAS = 1024
"""The most replicas of a simulated cluster."""

Change = Callable[[SimulationSettings, str], SimulationSettings]


def changed(cluster: SimulationSettings, wanted: Mapping[str, str | None]) -> SimulationSettings:
    """Return the cluster with other settings, by their names in `SETTINGS`; None leaves one as it is.

    They are changed in the order of `SETTINGS`, whatever the order in which they are asked for.

    Raises:
        CommandError: a setting is unknown, or cannot have that value; the message names it.
    """
    unknown = set(wanted) - set(SETTINGS)
    if unknown:
        raise CommandError(f"{min(unknown)!r} is no setting: choose one of {', '.join(SETTINGS)}", exit_code=2)
    for name, change in SETTINGS.items():
        text = wanted.get(name)
        if text is None:
            continue
        try:
            cluster = change(cluster, text)
        except SettingsError as error:
            raise CommandError(str(error), exit_code=2) from error
        except ValueError as error:
            raise CommandError(f"{name}: {text!r} is not understood: {error}", exit_code=2) from error
    return cluster


def _profile(cluster: SimulationSettings, text: str) -> SimulationSettings:
    try:
        return replace(cluster, profile=find_profile(text))
    except ProfileError as error:
        raise SettingsError(f"profile: {error}") from error


def _replicas(cluster: SimulationSettings, text: str) -> SimulationSettings:
    num_replicas = int(text)
    if not 1 <= num_replicas <= MAX_REPLICAS:
        raise SettingsError(f"replicas: {text} cannot be simulated: give 1 to {MAX_REPLICAS}")
    return replace(cluster, num_replicas=num_replicas)


def _silo(cluster: SimulationSettings, text: str) -> SimulationSettings:
    """Divide the cluster into the published silos: a pool a class, so many replicas each, in turn within a pool."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise SettingsError(
            f"silo: {text!r} is no list of numbers: write the replicas of each class, such as 7,3,3"
        ) from None
    if cluster.num_replicas not in (1, sum(numbers)):
        raise SettingsError(
            f"silo: {text} are {sum(numbers)} replicas, not {cluster.num_replicas}: leave --replicas out"
        )
    return replace(cluster, placement="round-robin").in_pools(silo_pools(cluster.classes, numbers))


def _placement(cluster: SimulationSettings, text: str) -> SimulationSettings:
    if text == "silo":
        if not cluster.pools:
            raise SettingsError("placement: silo needs the replicas of each class, such as --silo 7,3,3")
        return cluster
    if text not in PLACEMENTS:
        raise SettingsError(f"placement: {text!r} is unknown: choose one of {', '.join(PLACEMENTS)} or silo")
    return replace(cluster, placement=text)


def _rate_limit(cluster: SimulationSettings, text: str) -> SimulationSettings:
    """Limit the rate at the door: `3.5`, with a burst of a second's worth, or `3.5:10`."""
    qps, _, burst = text.partition(":")
    try:
        rate = float(qps)
        return replace(cluster, rate_limit=RateLimit(rate, float(burst) if burst else max(rate, 1.0)))
    except SettingsError:
        raise
    except ValueError:
        raise SettingsError(f"rate-limit: {text!r} is no rate: write requests per second, such as 3.5") from None


def _routers(cluster: SimulationSettings, text: str) -> SimulationSettings:
    return replace(cluster, num_routers=int(text))


def _load_age(cluster: SimulationSettings, text: str) -> SimulationSettings:
    """Let loads be so old; `0` or `0s` lets every router know everything."""
    return replace(cluster, load_age=0.0 if text == "0" else parse_duration(text))


def _fault(cluster: SimulationSettings, text: str) -> SimulationSettings:
    """Let things go wrong, with commas between them: `lose:3@10m,slow:0@5m:2m:1.5`."""
    try:
        faults = parse_faults(text)
    except ValueError as error:
        raise SettingsError(f"fault: {error}") from None
    return replace(cluster, faults=(*cluster.faults, *faults))


SETTINGS: Mapping[str, Change] = MappingProxyType(
    {
        "profile": _profile,
        "replicas": _replicas,
        "silo": _silo,
        "placement": _placement,
        "rate-limit": _rate_limit,
        "routers": _routers,
        "load-age": _load_age,
        "fault": _fault,
    }
)
"""The settings by name, in the order in which they are applied: machines, their pools, then what holds within them."""
