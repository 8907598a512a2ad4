"""What a local cluster is made of, decided before anything is started: options, names, ports.

Ports are chosen once and kept, so that a process that is started again is found where it was.
"""

import contextlib
import dataclasses
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from niyama_core.cluster_spec import ClusterSpec, EmbeddedRedis, EngineType, ExternalRedis
from niyama_runtime.addresses import Address, BindError, check_bindable

__all__ = ["DEFAULT_PORT", "Layout", "LocalOptions", "Place", "check_ports", "lay_out"]

DEFAULT_PORT = 50051
"""Where the first router of `niyama up` listens; the next ones follow."""

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """How a manifest is run on this machine. What is None is as the manifest says.

    Attributes:
        replicas: how many replicas.
        policy: scheduling policy.
        engine: what computes tokens.
        speed: how many times as fast as its profile the paced engine runs.
        replica_speeds: the same of single replicas, by name, for experiments with unequal ones.
        noise: spread of the paced engine's iteration times.
        seed: of that noise; each replica adds its index.
        redis_url: a Redis that is there already.
        port: of the first router, the others follow; None takes free ones.
        metrics: whether routers and replicas serve metrics.
        replay: whether the length of an answer may come with its request.
        decision_logs: folder for a decision log of each replica; None writes none.
        iteration_records: folder for each replica's iterations as CSV; None writes none.
        logs: folder for the processes' logs; None keeps them as long as the cluster.
        grace: seconds that running requests have to finish when the cluster ends.
        ready_within: seconds that everything has to start; None for a minute, ten where models are loaded.
    """

    replicas: int | None = None
    policy: str | None = None
    engine: EngineType | None = None
    speed: float | None = None
    replica_speeds: Mapping[str, float] = field(default_factory=dict)
    noise: float | None = None
    seed: int = 0
    redis_url: str | None = None
    port: int | None = None
    metrics: bool = True
    replay: bool = False
    decision_logs: Path | None = None
    iteration_records: Path | None = None
    logs: Path | None = None
    grace: float = 10.0
    ready_within: float | None = None

    def applied_to(self, spec: ClusterSpec) -> ClusterSpec:
        """Return the manifest with what the options say otherwise."""
        engine, scheduler = spec.engine, spec.scheduler
        return dataclasses.replace(
            spec,
            engine=dataclasses.replace(
                engine,
                type=self.engine or engine.type or EngineType.PACED,
                speed=engine.speed if self.speed is None else self.speed,
                noise=engine.noise if self.noise is None else self.noise,
            ),
            replicas=spec.replicas if self.replicas is None else self.replicas,
            scheduler=scheduler if self.policy is None else dataclasses.replace(scheduler, policy=self.policy),
            redis=spec.redis if self.redis_url is None else ExternalRedis(self.redis_url),
        )


@dataclass(frozen=True, slots=True)
class Place:
    """One role process: its name, where it serves, where its metrics are (None without), its files."""

    name: str
    address: str
    metrics: str | None
    config_file: Path
    log_file: Path


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything of a local cluster that is fixed while it runs."""

    routers: tuple[Place, ...]
    replicas: tuple[Place, ...]
    redis_port: int | None
    redis_url: str


def lay_out(spec: ClusterSpec, options: LocalOptions, *, folder: Path) -> Layout:
    """Return who serves where; configuration files lie in `folder`, logs too unless the options say where.

    Raises:
        BindError: a router's port is taken.
    """
    check_ports(spec, options)
    num_roles = spec.router.replicas + spec.replicas
    ports = _free_ports(2 * num_roles + 1)
    router_ports = _wanted_ports(options.port, spec.router.replicas) or ports[: spec.router.replicas]
    metrics = [f"{_LOOPBACK}:{port}" if options.metrics else None for port in ports[num_roles:-1]]
    names = [f"router-{index}" for index in range(spec.router.replicas)]
    names += [f"replica-{index}" for index in range(spec.replicas)]
    logs = options.logs or folder
    places = tuple(
        Place(name, f"{_LOOPBACK}:{port}", metric, folder / f"{name}.json", logs / f"{name}.log")
        for name, port, metric in zip(
            names, [*router_ports, *ports[spec.router.replicas : num_roles]], metrics, strict=True
        )
    )
    redis_port, redis_url = _redis(spec, ports[-1])
    return Layout(places[: spec.router.replicas], places[spec.router.replicas :], redis_port, redis_url)


def _redis(spec: ClusterSpec, free_port: int) -> tuple[int | None, str]:
    """Return the embedded server's port, if there is to be one, and the URL."""
    match spec.redis:
        case EmbeddedRedis():
            return free_port, f"redis://{_LOOPBACK}:{free_port}/0"
        case ExternalRedis(url=url):
            return None, url


def check_ports(spec: ClusterSpec, options: LocalOptions) -> None:
    """Refuse routers' ports that are taken, before anything is said or done.

    Raises:
        BindError: one is; the message says what to do.
    """
    for port in _wanted_ports(options.port, spec.router.replicas):
        try:
            check_bindable(Address(_LOOPBACK, port))
        except BindError as error:
            fix = "end what listens there (`niyama down` if it is another `niyama up`) or choose another with --port"
            raise BindError(f"{error}: {fix}") from error


def _wanted_ports(first: int | None, number: int) -> range:
    """Return the ports that routers are to have; none when any will do."""
    if first is None:
        return range(0)
    if first + number > 65536:
        raise BindError(f"there is no port 65536 for router-{65536 - first}: choose a lower one with --port")
    return range(first, first + number)


def _free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on, all different because all are held until the last is found."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind((_LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
